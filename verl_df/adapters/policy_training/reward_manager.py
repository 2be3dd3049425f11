# SPDX-License-Identifier: Apache-2.0
"""The reward-manager extension: verl's reward with r_task beside it, and a way in for groups.

verl calls a reward manager with one rollout at a time, from its reward workers. DF's hands that to verl's own manager
and notes the task reward. Rows that hold a whole group instead belong to `GroupFeedback`, the other contract of a
reward worker.
"""

from typing import Any

from omegaconf import DictConfig
from verl import DataProto
from verl.experimental.reward_loop.reward_manager import get_reward_manager_cls, register
from verl.experimental.reward_loop.reward_manager.base import RewardManagerBase

from verl_df.adapters.policy_training.group_exchange import CLIENT, GROUP
from verl_df.adapters.policy_training.group_feedback import GroupFeedback
from verl_df.adapters.reward_request import TASK_REWARD, task_reward
from verl_df.settings.config import load_df_config


@register("df")
class DFRewardManager(RewardManagerBase):
    """Wraps verl's reward manager `df.reward_manager`; the only difference is `r_task` beside its reward."""

    def __init__(self, config: DictConfig, tokenizer: Any, compute_score: Any, **kwargs: Any):
        super().__init__(config, tokenizer, compute_score)
        df = load_df_config(config.df)
        base = get_reward_manager_cls(df.reward_manager)
        self.base = base(config=config, tokenizer=tokenizer, compute_score=compute_score, **kwargs)
        self._groups = GroupFeedback(df, tokenizer, self.base.run_single, config.reward.num_workers)

    async def run_single(self, data: DataProto) -> dict:
        """The reward of one rollout; a row with a group goes to `GroupFeedback`.

        Returns:
            verl's `{"reward_score", "reward_extra_info"}`, the info with `r_task`;
            for a group `{"df_group": GroupAnswer}`.
        """
        if GROUP in data.non_tensor_batch:
            return {GROUP: await self._groups.answer(data.non_tensor_batch[GROUP][0], data.meta_info[CLIENT])}
        result = await self.base.run_single(data)
        return {**result, "reward_extra_info": {**result["reward_extra_info"], TASK_REWARD: task_reward(result)}}
