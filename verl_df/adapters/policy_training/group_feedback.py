# SPDX-License-Identifier: Apache-2.0
"""Repairs for whole groups, in verl's reward workers, where responses are judged side by side and off the trainer."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from verl import DataProto
from verl.utils.import_utils import load_extern_object

from verl_df.adapters.policy_training.group_exchange import GroupAnswer, GroupRow
from verl_df.adapters.policy_training.placement import Connection, RepairModel, sample_seeds
from verl_df.adapters.reward_request import score_request, task_reward
from verl_df.controls.gates import control_gates
from verl_df.controls.repairs import control_candidates
from verl_df.controls.settings import USES_EXACT_REPAIR, Control
from verl_df.method.feedback import FeedbackConfig, Judgement, Models, RepairSample, difference_feedback
from verl_df.method.gates import split_steps
from verl_df.method.group import GroupMember, GroupPlan, Rollout
from verl_df.prompts import ANSWER_AGAIN_FILE, ANSWER_AGAIN_PLACEHOLDERS, load_template, read_template
from verl_df.prompts.messages import repair_messages
from verl_df.settings.config import DFConfig


class GroupFeedback:
    """Answers groups: samples repairs, judges them with verl's own reward, builds the optimised group.

    Args:
        df: the `df:` block.
        tokenizer: the policy's.
        score: verl's reward of one response, `run_single` of a reward manager; the same for rollouts and repairs.
        workers: reward workers of the run, which share `df.repair.max_concurrency`.
    """

    def __init__(
        self,
        df: DFConfig,
        tokenizer: Any,
        score: Callable[[DataProto], Awaitable[dict[str, Any]]],
        workers: int,
    ):
        self._df, self._tokenizer, self._score = df, tokenizer, score
        self._max_concurrency = max(1, df.repair.max_concurrency // workers)
        truth = df.truth
        self._true_errors = load_extern_object(truth.path, truth.name) if truth.path else None
        uses_exact = df.control.kind in USES_EXACT_REPAIR
        self._exact_repair: Any = load_extern_object(truth.path, truth.repair_name) if uses_exact else None
        self._template = load_template(Path(df.repair.prompt_template)) if df.repair.prompt_template else None
        if df.control.kind is Control.ANSWER_AFTER_REFERENCE:
            self._template = read_template(ANSWER_AGAIN_FILE, ANSWER_AGAIN_PLACEHOLDERS)
        self._repair_model: RepairModel | None = None

    async def answer(self, row: GroupRow, connection: Connection) -> GroupAnswer:
        """The optimised group of a prompt."""
        if self._repair_model is None:
            self._repair_model = connection.open(self._df.repair, self._max_concurrency)
        models = Models(
            repair=partial(self._repair, row, self._repair_model),
            judge=partial(self._judge, row.columns),
            decode=partial(self._tokenizer.decode, skip_special_tokens=True),
            steps=self._steps,
            true_errors=partial(self._truth, row.columns["extra_info"]),
            candidates=partial(self._candidates, row.columns["extra_info"]),
            regate=partial(self._regate, row.request.seed),
        )
        df = self._df
        config = FeedbackConfig(df.group, df.alignment, df.gate, df.repair.repair_truncated, df.repair.reward_threshold)
        result = await difference_feedback(row.request, config, models)
        return GroupAnswer.of(result, logged=df.log.groups_per_step != 0)

    async def _repair(
        self, row: GroupRow, model: RepairModel, response: str, reference: str, seed: str
    ) -> list[RepairSample]:
        prompt = list(row.columns["raw_prompt"])
        if self._df.control.kind is not Control.ANSWER_AGAIN:
            prompt = repair_messages(prompt, response, reference, self._template)
        return await model.sample(prompt, sample_seeds(seed, self._df.repair.n), session=row.request.uid)

    async def _judge(self, columns: dict[str, Any], token_ids: Sequence[int]) -> Judgement:
        result = await self._score(score_request(columns, token_ids))
        return Judgement(r_task=task_reward(result), reward=float(result["reward_score"]))

    def _steps(self, token_ids: Sequence[int]) -> np.ndarray:
        texts = [self._tokenizer.decode([token]) for token in token_ids]
        return split_steps(texts, self._df.gate.step_separator)

    def _truth(self, extra_info: dict[str, Any], token_ids: Sequence[int]) -> np.ndarray | None:
        return None if self._true_errors is None else self._true_errors(token_ids, extra_info, self._tokenizer)

    def _candidates(self, extra_info: dict[str, Any], rollout: Rollout, plan: GroupPlan) -> list[RepairSample] | None:
        def exact(token_ids: Sequence[int]) -> Sequence[int] | None:
            return self._exact_repair(token_ids, extra_info, self._tokenizer)

        return control_candidates(self._df.control.kind, rollout, plan, exact)

    def _regate(
        self, seed: str, members: Sequence[GroupMember], truths: Mapping[str, np.ndarray]
    ) -> tuple[GroupMember, ...]:
        return control_gates(members, self._df.control, seed=seed, truths=truths)
