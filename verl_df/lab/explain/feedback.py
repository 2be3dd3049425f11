# SPDX-License-Identifier: Apache-2.0
"""The method on rollouts that are there already, with candidates that are there already."""

import asyncio
from collections.abc import Sequence
from typing import NoReturn

import numpy as np

from verl_df.lab.explain.candidates import Candidates
from verl_df.lab.explain.rows import Group
from verl_df.lab.explain.units import Units
from verl_df.method.feedback import FeedbackConfig, GroupResult, Judgement, Models, difference_feedback, plan_request
from verl_df.method.gates import split_steps
from verl_df.method.group import GroupPlan
from verl_df.method.records import PairRecord, pair_record

STEP = 1  # of the records: there is one


def plan_groups(groups: Sequence[Group], config: FeedbackConfig) -> list[GroupPlan]:
    """What is to be repaired. Raises: ValueError with file and line, as `plan_group`."""
    plans = []
    for group in groups:
        try:
            plans.append(plan_request(group.request, config))
        except ValueError as error:
            raise ValueError(f"{next(iter(group.places.values()))}: {error}") from error
    return plans


def explain_groups(
    groups: Sequence[Group], candidates: Sequence[Candidates], config: FeedbackConfig, units: Units
) -> list[GroupResult]:
    """The optimised group of every prompt, as in training; `candidates` have all rewards that are needed."""

    async def explained() -> list[GroupResult]:
        return [
            await difference_feedback(group.request, config, _models(group, own, config, units))
            for group, own in zip(groups, candidates, strict=True)
        ]

    return asyncio.run(explained())


def records_of(
    group: Group, result: GroupResult, units: Units, images: tuple[str, ...]
) -> list[tuple[int, PairRecord]]:
    """Line and record, in the format of a run, of each wrong rollout that was to be repaired."""
    return [
        (
            int(attempt.key),
            pair_record(
                attempt,
                group.request,
                step=STEP,
                prompt=group.first.prompt,
                images=images,
                decode=units.decode,
                token_texts=units.texts,
            ),
        )
        for attempt in result.attempts
    ]


def _models(group: Group, candidates: Candidates, config: FeedbackConfig, units: Units) -> Models:
    async def judge(token_ids: Sequence[int]) -> Judgement:
        reward = candidates.rewards[tuple(token_ids)]
        return Judgement(reward, reward)

    async def not_asked(response: str, reference: str, seed: str) -> NoReturn:
        raise RuntimeError("every rollout has its candidates, so that no repair model is asked")

    def true_errors(token_ids: Sequence[int]) -> np.ndarray | None:
        truth = group.truths.get(tuple(token_ids))
        return None if truth is None else np.asarray(truth, dtype=bool)

    return Models(
        repair=not_asked,
        judge=judge,
        decode=units.decode,
        steps=lambda token_ids: split_steps(units.texts(token_ids), config.gate.step_separator),
        true_errors=true_errors,
        candidates=lambda rollout, plan: candidates.samples[rollout.key],
    )
