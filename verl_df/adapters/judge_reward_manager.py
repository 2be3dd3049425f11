# SPDX-License-Identifier: Apache-2.0
"""r_task by an LLM judge as a verl reward manager, for tasks whose answers no rule can compare.

Name it in `df.reward_manager`: DF's managers wrap it like any of verl's, in the policy's training and in the repair
model's.
"""

import asyncio
import logging
from typing import Any

from omegaconf import DictConfig
from verl import DataProto
from verl.experimental.reward_loop.reward_manager import register
from verl.experimental.reward_loop.reward_manager.base import RewardManagerBase

from verl_df.adapters.prompt_content import pictures, prompt_text
from verl_df.adapters.reward_request import response_ids
from verl_df.judges.llm_judge import JudgeConfig, LLMJudge
from verl_df.settings.config import load_block

logger = logging.getLogger(__name__)

NAME = "df_judge"


@register(NAME)
class JudgeRewardManager(RewardManagerBase):
    """Asks the endpoint of `df.judge` about every response, with the prompt's images and frames of its videos."""

    def __init__(self, config: DictConfig, tokenizer: Any, compute_score: Any, **_: Any):
        super().__init__(config, tokenizer, compute_score)
        self._judge = LLMJudge(load_block(JudgeConfig, config.df.judge, "df.judge"))
        self._failures = 0

    async def run_single(self, data: DataProto) -> dict:
        """r_task of one response.

        Returns:
            verl's `{"reward_score", "reward_extra_info"}`; the info has `acc`, and `judge_failed`: 1 where the endpoint
            gave no verdict and `df.judge.on_failure` decided.
        """
        messages = list(data.non_tensor_batch["raw_prompt"][-1])
        verdict = await self._judge.judge(
            prompt_text(messages),
            # in a thread, as in all that takes as long as a large picture: the loop has other calls under way
            await asyncio.to_thread(pictures, messages),
            self.tokenizer.decode(response_ids(data), skip_special_tokens=True),
            str(data.non_tensor_batch["reward_model"][-1]["ground_truth"]),
        )
        if verdict.failure is not None:
            self._note(verdict.failure)
        info = {"acc": verdict.r_task, "judge_failed": float(verdict.failure is not None)}
        return {"reward_score": verdict.r_task, "reward_extra_info": info}

    def _note(self, why: str) -> None:
        """A line at the first response that the judge said nothing of, the tenth, the hundredth, ..."""
        self._failures += 1
        if str(self._failures).strip("0") == "1":
            by = self._judge.config.on_failure
            logger.warning("%d responses not judged so far (%s): df.judge.on_failure=%s", self._failures, why, by)
