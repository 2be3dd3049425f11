# SPDX-License-Identifier: Apache-2.0
"""The reward-manager extension: verl's reward for every rollout, and repairs for a whole group.

verl calls a reward manager with one rollout at a time. DF's hands that to verl's own manager and notes the task reward.
In the repair phase the trainer sends rows that hold a whole group instead (column `df_group`); for those it calls the
repair server, judges each repair with the same reward, and returns the optimised group.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig
from verl import DataProto
from verl.experimental.reward_loop.reward_manager import get_reward_manager_cls, register
from verl.experimental.reward_loop.reward_manager.base import RewardManagerBase
from verl.utils.import_utils import load_extern_object
from verl.workers.rollout.llm_server import LLMServerClient

from verl_df.adapters.policy_training.repair_client import RepairModel
from verl_df.adapters.reward_request import TASK_REWARD, score_request, task_reward
from verl_df.method.feedback import (
    FeedbackConfig,
    GroupRequest,
    GroupResult,
    Judgement,
    Models,
    RepairSample,
    difference_feedback,
)
from verl_df.method.gates import split_steps
from verl_df.prompts import load_template
from verl_df.prompts.messages import repair_messages
from verl_df.settings.config import DFConfig, load_df_config

GROUP = "df_group"
CLIENT = "df_repair_client"


@dataclass(frozen=True)
class GroupRow:
    """One prompt of the repair phase: what the method needs, and the row's columns for verl's reward."""

    request: GroupRequest
    messages: list[dict[str, Any]]
    columns: dict[str, Any]


@register("df")
class DFRewardManager(RewardManagerBase):
    """Wraps verl's reward manager `df.reward_manager`; the only additions are `r_task` and the answer to `df_group`
    rows.
    """

    def __init__(self, config: DictConfig, tokenizer: Any, compute_score: Any, **kwargs: Any):
        super().__init__(config, tokenizer, compute_score)
        self.df: DFConfig = load_df_config(config.df)
        base = get_reward_manager_cls(self.df.reward_manager)
        self.base = base(config=config, tokenizer=tokenizer, compute_score=compute_score, **kwargs)
        truth = self.df.truth
        self._true_errors = load_extern_object(truth.path, truth.name) if truth.path else None
        self._repair_model: RepairModel | None = None

    async def run_single(self, data: DataProto) -> dict:
        """Reward of one rollout, or the optimised group for a `df_group` row.

        Returns:
            verl's `{"reward_score", "reward_extra_info"}`, the info with `r_task`;
            for a group `{"df_group": GroupResult}`.
        """
        if GROUP in data.non_tensor_batch:
            return {GROUP: await self._process_group(data.non_tensor_batch[GROUP][0], data.meta_info[CLIENT])}
        result = await self.base.run_single(data)
        info = dict(result["reward_extra_info"])
        info[TASK_REWARD] = task_reward(result)
        return {**result, "reward_extra_info": info}

    async def _process_group(self, row: GroupRow, client: LLMServerClient) -> GroupResult:
        if self._repair_model is None:
            self._repair_model = RepairModel(client)
        models = Models(
            repair=partial(self._repair, row.messages, self._repair_model),
            judge=partial(self._judge, row.columns),
            decode=partial(self.tokenizer.decode, skip_special_tokens=True),
            token_texts=lambda ids: [self.tokenizer.decode([token]) for token in ids],
            steps=self._steps,
            true_errors=partial(self._truth, row.columns["extra_info"]),
        )
        return await difference_feedback(row.request, feedback_config(self.df), models)

    async def _repair(
        self, messages: list[dict], model: RepairModel, response: str, reference: str
    ) -> list[RepairSample]:
        path = self.df.repair.prompt_template
        template = load_template(Path(path)) if path else None
        prompt = repair_messages(messages, response, reference, template)
        return await asyncio.wait_for(model.sample(prompt, self.df.repair.n), timeout=self.df.repair.timeout_s)

    async def _judge(self, columns: dict[str, Any], token_ids: Sequence[int]) -> Judgement:
        result = await self.base.run_single(score_request(columns, token_ids))
        return Judgement(r_task=task_reward(result), reward=float(result["reward_score"]))

    def _steps(self, token_ids: Sequence[int]) -> np.ndarray:
        texts = [self.tokenizer.decode([token]) for token in token_ids]
        return split_steps(texts, self.df.alignment.step_separator)

    def _truth(self, extra_info: dict[str, Any], token_ids: Sequence[int]) -> np.ndarray | None:
        return None if self._true_errors is None else self._true_errors(token_ids, extra_info, self.tokenizer)


def feedback_config(df: DFConfig) -> FeedbackConfig:
    """The part of `df:` that one group needs."""
    return FeedbackConfig(
        mode=df.group.mode,
        reward_threshold=df.group.reward_threshold,
        on_no_correct=df.group.on_no_correct,
        on_infeasible=df.group.on_infeasible,
        repair_truncated=df.repair.repair_truncated,
        method=df.alignment.method,
        backend=df.alignment.backend,
        gate=df.gate,
    )
