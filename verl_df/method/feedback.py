# SPDX-License-Identifier: Apache-2.0
"""Difference feedback for one prompt: sample repairs, judge them, choose, align, gate, build the group.

The steps of sections 3.4 and 3.6 of the paper in their order, for one group at a time. Everything that needs a server
or a reward comes in as an awaitable, so the same code serves a group that is complete while other prompts still decode
and a repair phase over a whole batch.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from verl_df.method.gates import GateConfig
from verl_df.method.group import GroupMember, GroupPlan, Repair, Rollout, build_group, plan_group
from verl_df.method.metrics import GroupOutcome, summarize_group
from verl_df.method.records import PairRecord, TokenSide
from verl_df.method.repair import Candidate, Selection, rejected_unscored, select_repair


@dataclass(frozen=True)
class RepairSample:
    """One sample of the repair model, not judged yet.

    token_ids: response tokens including the end token, cut to the policy's response length. finished: ends with an end
    token. contains_placeholder: holds an image or video pad token.
    """

    token_ids: tuple[int, ...]
    finished: bool
    contains_placeholder: bool


@dataclass(frozen=True)
class GroupRequest:
    """One prompt's rollouts with what is needed to repair them.

    uid: of the prompt, in this batch. step: training step. rollouts: G' (Eq. 11). answer: the annotated answer, or
    None. seed: of the reference's draw, independent of the order of groups. prompt: the prompt as text, for the
    records.
    """

    uid: str
    step: int
    rollouts: tuple[Rollout, ...]
    answer: str | None
    seed: str
    prompt: str


@dataclass(frozen=True)
class GroupResult:
    """The optimised group G with its gates, what happened, and the pairs for the log.

    members: empty when the prompt is not trained on. repair_rewards: shaped reward of each repair by the key of the
    rollout it repairs; r_task alone when there is no shaping.
    """

    uid: str
    members: tuple[GroupMember, ...]
    repair_rewards: dict[str, float]
    outcome: GroupOutcome
    records: tuple[PairRecord, ...]


@dataclass(frozen=True)
class Judgement:
    """r_task in [0, 1] of a response, and the reward the policy is trained on (with shaping for length, if any)."""

    r_task: float
    reward: float


@dataclass(frozen=True)
class Models:
    """What `difference_feedback` asks of the outside.

    repair: (y as text, a as text) -> n samples of p_phi (Eq. 5). judge: token ids of a response -> `Judgement`.
    decode: token ids -> text without special tokens. token_texts: token ids -> one text per token. steps: token ids ->
    int [T] step numbers. true_errors: token ids -> bool [T] of the truly wrong tokens, or None where unknown.
    """

    repair: Callable[[str, str], Awaitable[Sequence[RepairSample]]]
    judge: Callable[[Sequence[int]], Awaitable[Judgement]]
    decode: Callable[[Sequence[int]], str]
    token_texts: Callable[[Sequence[int]], list[str]]
    steps: Callable[[Sequence[int]], np.ndarray]
    true_errors: Callable[[Sequence[int]], Any]


@dataclass(frozen=True)
class FeedbackConfig:
    """The settings of the method that one group needs; see `verl_df.settings.config` for their meaning."""

    mode: str
    reward_threshold: float
    on_no_correct: str
    on_infeasible: str
    repair_truncated: bool
    method: str
    backend: str
    gate: GateConfig


@dataclass(frozen=True)
class _Attempt:
    """All samples for one wrong rollout and the choice among them."""

    rollout: Rollout
    candidates: tuple[Candidate, ...]
    judgements: tuple[Judgement | None, ...]
    selection: Selection
    alignment_seconds: float


async def difference_feedback(request: GroupRequest, config: FeedbackConfig, models: Models) -> GroupResult:
    """Eq. 5 to 8 and 11 to 20 for one prompt.

    Raises:
        ValueError: an empty group, repeated keys, or a missing annotated answer where one is to be used.
    """
    start = time.perf_counter()
    plan = plan_group(
        request.rollouts,
        uid=request.uid,
        threshold=config.reward_threshold,
        answer=request.answer,
        on_no_correct=config.on_no_correct,
        repair_truncated=config.repair_truncated,
        rng=random.Random(request.seed),
    )
    reference = _reference_text(plan, models)
    attempts = await asyncio.gather(*(_attempt(rollout, reference, config, models) for rollout in plan.to_repair))
    repairs, rewards = {}, {}
    for attempt in attempts:
        chosen = attempt.selection.chosen
        if chosen is not None:
            repairs[attempt.rollout.key] = _repair(attempt, chosen)
            rewards[attempt.rollout.key] = attempt.judgements[chosen].reward
    members = build_group(
        plan,
        repairs,
        gate_config=config.gate,
        on_infeasible=config.on_infeasible,
        group_mode=config.mode,
        steps=models.steps,
    )
    group_of_one = _is_group_of_one(members, request, config.mode)
    members = () if group_of_one else members
    known = {attempt.rollout.key: models.true_errors(attempt.rollout.token_ids) for attempt in attempts}
    truths = {key: truth for key, truth in known.items() if truth is not None}
    outcome = summarize_group(
        plan,
        {attempt.rollout.key: attempt.selection for attempt in attempts},
        members,
        group_of_one=group_of_one,
        truth=truths,
        alignment_seconds=sum(attempt.alignment_seconds for attempt in attempts),
        seconds=time.perf_counter() - start,
    )
    records = tuple(
        _record(request, plan, reference, attempt, members, truths.get(attempt.rollout.key), models)
        for attempt in attempts
    )
    return GroupResult(request.uid, members, rewards, outcome, records)


async def _attempt(rollout: Rollout, reference: str, config: FeedbackConfig, models: Models) -> _Attempt:
    samples = await models.repair(models.decode(rollout.token_ids), reference)
    judged = await asyncio.gather(*(_judge(sample, models) for sample in samples))
    candidates = tuple(candidate for candidate, _ in judged)
    start = time.perf_counter()
    selection = select_repair(
        rollout.token_ids,
        candidates,
        threshold=config.reward_threshold,
        loss_mask=rollout.loss_mask,
        method=config.method,
        backend=config.backend,
    )
    seconds = time.perf_counter() - start
    return _Attempt(rollout, candidates, tuple(judgement for _, judgement in judged), selection, seconds)


async def _judge(sample: RepairSample, models: Models) -> tuple[Candidate, Judgement | None]:
    unscored = Candidate(sample.token_ids, None, sample.finished, sample.contains_placeholder)
    if rejected_unscored(unscored) is not None:
        return unscored, None
    judgement = await models.judge(sample.token_ids)
    return Candidate(sample.token_ids, judgement.r_task, sample.finished, sample.contains_placeholder), judgement


def _is_group_of_one(members: Sequence[GroupMember], request: GroupRequest, mode: str) -> bool:
    """Whether a single member is left, which is then not trained on.

    Our reading: rewards are normalised within a group, and one reward has nothing to be compared with; verl would take
    it, raw, for the advantage. A prompt that was sampled once and is only gated stays: nothing was taken from it.
    """
    sampled_alone = mode == "gate_only" and len(request.rollouts) == 1
    return len(members) == 1 and not sampled_alone


def _reference_text(plan: GroupPlan, models: Models) -> str:
    if isinstance(plan.reference, Rollout):
        return models.decode(plan.reference.token_ids)
    return plan.reference or ""


def _repair(attempt: _Attempt, chosen: int) -> Repair:
    candidate, selection = attempt.candidates[chosen], attempt.selection
    return Repair(attempt.rollout.key, candidate.token_ids, candidate.reward, selection.alignment, selection.loss_mask)


def _record(
    request: GroupRequest,
    plan: GroupPlan,
    reference: str,
    attempt: _Attempt,
    members: Sequence[GroupMember],
    truth: np.ndarray | None,
    models: Models,
) -> PairRecord:
    alignment, chosen = attempt.selection.alignment, attempt.selection.chosen
    gates = {(member.kind, member.key): member.gate for member in members}
    key, ids = attempt.rollout.key, attempt.rollout.token_ids
    repair = None
    if chosen is not None:
        repair_ids = attempt.candidates[chosen].token_ids
        # in gate-only mode the repair is no member of the group and has no gate of its own
        gate = gates.get(("repair", key), np.zeros(len(repair_ids), dtype=np.float32))
        reward = attempt.candidates[chosen].reward
        tokens = models.token_texts(repair_ids)
        # a gap may mark an observation token, but no mask covers it
        repair_mask = alignment.repair_mask & np.asarray(attempt.selection.loss_mask, dtype=bool)
        repair = TokenSide.from_arrays(repair_ids, tokens, repair_mask, gate, reward)
    error_mask = np.zeros(len(ids), dtype=bool)
    if alignment is not None:
        error_mask = alignment.error_mask & np.asarray(attempt.rollout.loss_mask, dtype=bool)
    error_gate = gates.get(("error", key), np.zeros(len(ids), dtype=np.float32))
    return PairRecord(
        step=request.step,
        uid=request.uid,
        prompt=request.prompt,
        images=(),
        ground_truth=request.answer or "",
        reference=reference,
        reference_kind=plan.reference_kind,
        error=TokenSide.from_arrays(ids, models.token_texts(ids), error_mask, error_gate, attempt.rollout.reward),
        repair=repair,
        edit_distance=alignment.distance if alignment is not None else None,
        edit_ratio=alignment.edit_ratio if alignment is not None else None,
        truth_mask=None if truth is None else tuple(int(wrong) for wrong in truth),
        rejections=tuple(reason and reason.value for reason in attempt.selection.rejections),
    )
