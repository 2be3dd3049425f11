# SPDX-License-Identifier: Apache-2.0
"""Difference feedback for one prompt: sample repairs, judge them, choose, align, gate, build the group.

The steps of sections 3.4 and 3.6 of the paper in their order, for one group at a time. Everything that needs a server
or a reward comes in as an awaitable, so the same code serves a group that is complete while other prompts still decode
and a repair phase over a whole batch.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar

import numpy as np

from verl_df.method.alignment import AlignmentConfig
from verl_df.method.gates import GateConfig
from verl_df.method.group import (
    GroupConfig,
    GroupMember,
    GroupMode,
    GroupPlan,
    MemberKind,
    ReferenceKind,
    Repair,
    Rollout,
    build_group,
    plan_group,
)
from verl_df.method.metrics import GroupOutcome, WorkSeconds, summarize_group
from verl_df.method.repair import Candidate, Rejection, Selection, no_candidates, rejected_unscored, select_repair

P = ParamSpec("P")
R = TypeVar("R")

# Tokens. A pair with four candidates takes 2 ms at 1,024 tokens and 35 ms at 8,192 (scripts/bench/pairs.py).
LONG_RESPONSE = 2000


class NoRepair(Exception):
    """No sample could be had for a rollout. reason: for counting."""

    def __init__(self, reason: Rejection, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class PromptTooLong(NoRepair):
    """The repair prompt of a rollout does not fit into the repair model's context."""

    def __init__(self, detail: str) -> None:
        super().__init__(Rejection.PROMPT_TOO_LONG, detail)


@dataclass(frozen=True)
class RepairSample:
    """One sample of the repair model, not judged yet.

    token_ids: response tokens including the end token, cut to the policy's response length. finished: ends with an end
    token. contains_placeholder: holds an image or video pad token. queued: seconds until it was its turn.
    """

    token_ids: tuple[int, ...]
    finished: bool
    contains_placeholder: bool
    queued: float = field(default=0.0, compare=False)  # of two equal samples, one may have waited longer


@dataclass(frozen=True)
class GroupRequest:
    """One prompt's rollouts with what is needed to repair them.

    Attributes:
        uid: of the prompt, in this batch.
        rollouts: G′ (Eq. 11).
        answer: the annotated answer, or None.
        seed: of the reference's draw and of the repairs' samples. They follow from it and from the order of the
            rollouts, and from nothing that depends on time.
        preferred: the preferred response, or None.
    """

    uid: str
    rollouts: tuple[Rollout, ...]
    answer: str | None
    seed: str
    preferred: str | None = None


@dataclass(frozen=True, eq=False)
class RepairedSide:
    """The chosen repair of a rollout.

    Attributes:
        token_ids: int64 [T′].
        mask: m′ on the tokens that the policy may be trained on, bool [T′].
        gate: float32 [T′]; zeros where the repair is not trained on.
        reward: r_task in [0, 1].
    """

    token_ids: np.ndarray
    mask: np.ndarray
    gate: np.ndarray
    reward: float


@dataclass(frozen=True, eq=False)
class RepairAttempt:
    """One wrong rollout that was sent to the repair model: small arrays, from which a record can be made later.

    Attributes:
        key: of the rollout.
        reference: what the reference a was.
        sibling: key of the correct rollout that was the reference; None where it is a text of the row.
        mask: m on the tokens that the policy wrote, bool [T]; zeros without a repair.
        gate: float32 [T]; zeros where the rollout is not trained on.
        truth: the truly wrong tokens, bool [T]; None where the task does not know them.
        repair: None where no candidate was feasible.
        edit_distance: in tokens; None without a repair.
        edit_ratio: edit distance over |y|; None without a repair.
        rejections: one per candidate, a reason or None.
        chosen: which candidate became the repair; None without a feasible one.
        candidates: token ids of each; one with none stands for samples that could not be had.
    """

    key: str
    reference: ReferenceKind
    sibling: str | None
    mask: np.ndarray
    gate: np.ndarray
    truth: np.ndarray | None
    repair: RepairedSide | None
    edit_distance: int | None
    edit_ratio: float | None
    rejections: tuple[Rejection | None, ...]
    chosen: int | None = None
    candidates: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True)
class GroupResult:
    """The optimised group G with its gates, and what happened.

    Attributes:
        uid: of the prompt.
        members: empty when the prompt is not trained on.
        repair_rewards: shaped reward of each repair by the key of the rollout it repairs; r_task alone when there is no
            shaping.
        outcome: what is counted.
        attempts: one for each rollout that was sent to the repair model.
    """

    uid: str
    members: tuple[GroupMember, ...]
    repair_rewards: dict[str, float]
    outcome: GroupOutcome
    attempts: tuple[RepairAttempt, ...]


@dataclass(frozen=True)
class Judgement:
    """r_task in [0, 1] of a response, and the reward the policy is trained on (with shaping for length, if any)."""

    r_task: float
    reward: float


@dataclass(frozen=True)
class Models:
    """What `difference_feedback` asks of the outside.

    Attributes:
        repair: (y as text, a as text, seed) -> n samples of p_phi (Eq. 5); raises NoRepair.
        judge: token ids of a response -> `Judgement`.
        decode: token ids -> text without special tokens.
        steps: token ids -> int [T] step numbers.
        true_errors: token ids -> bool [T] of the truly wrong tokens, or None where unknown.
        candidates: (y, its group) -> candidates that take the place of the repair model's, or None: ask the model.
        regate: (members, truths by key) -> the same members with other gates.
    """

    repair: Callable[[str, str, str], Awaitable[Sequence[RepairSample]]]
    judge: Callable[[Sequence[int]], Awaitable[Judgement]]
    decode: Callable[[Sequence[int]], str]
    steps: Callable[[Sequence[int]], np.ndarray]
    true_errors: Callable[[Sequence[int]], Any]
    candidates: Callable[[Rollout, GroupPlan], Sequence[RepairSample] | None] = lambda rollout, plan: None
    regate: Callable[[Sequence[GroupMember], Mapping[str, np.ndarray]], Sequence[GroupMember]] = (
        lambda members, truths: members
    )


@dataclass(frozen=True)
class FeedbackConfig:
    """The settings of the method.

    Attributes:
        group: how the optimised group is built.
        alignment: how an error and its repair are compared.
        gate: how their difference becomes a gate.
        repair_truncated: also repair rollouts cut by the length limit.
        repair_threshold: a repair with r_task of at least this is right (Eq. 6: 1).
    """

    group: GroupConfig = GroupConfig()
    alignment: AlignmentConfig = AlignmentConfig()
    gate: GateConfig = GateConfig()
    repair_truncated: bool = True
    repair_threshold: float = 1.0


@dataclass(frozen=True)
class _Attempt:
    """All samples for one wrong rollout and the choice among them."""

    rollout: Rollout
    candidates: tuple[Candidate, ...]
    judgements: tuple[Judgement | None, ...]
    selection: Selection
    work: WorkSeconds


def plan_request(request: GroupRequest, config: FeedbackConfig) -> GroupPlan:
    """What will be asked of the repair model for a prompt. Raises: ValueError as `plan_group`."""
    return plan_group(
        request.rollouts,
        config.group,
        uid=request.uid,
        answer=request.answer,
        preferred=request.preferred,
        repair_truncated=config.repair_truncated,
        rng=random.Random(request.seed),
    )


def reference_text(plan: GroupPlan, decode: Callable[[Sequence[int]], str]) -> str:
    """a as text, empty in a plan that asks for nothing. decode: token ids -> text without special tokens."""
    given = "" if plan.reference is None else plan.reference.given
    return decode(given.token_ids) if isinstance(given, Rollout) else given


async def difference_feedback(request: GroupRequest, config: FeedbackConfig, models: Models) -> GroupResult:
    """Eq. 5 to 8 and 11 to 20 for one prompt.

    Raises:
        ValueError: as `plan_group`.
    """
    start = time.perf_counter()
    plan = plan_request(request, config)
    reference = reference_text(plan, models.decode)
    seeds = {rollout.key: f"{request.seed}-{place}" for place, rollout in enumerate(request.rollouts)}
    attempts = await asyncio.gather(
        *(_attempt(rollout, plan, reference, seeds[rollout.key], config, models) for rollout in plan.to_repair)
    )
    repairs, rewards = {}, {}
    for attempt in attempts:
        chosen = attempt.selection.chosen
        if chosen is not None:
            repairs[attempt.rollout.key] = _repair(attempt, chosen)
            rewards[attempt.rollout.key] = attempt.judgements[chosen].reward
    longest = max(len(rollout.token_ids) for rollout in request.rollouts)
    members = await _aside(longest, build_group, plan, repairs, config.group, config.gate, steps=models.steps)
    group_of_one = _is_group_of_one(members, request, config.group.mode)
    members = () if group_of_one else members
    known = {attempt.rollout.key: models.true_errors(attempt.rollout.token_ids) for attempt in attempts}
    truths = {key: np.asarray(truth, dtype=bool) for key, truth in known.items() if truth is not None}
    members = tuple(models.regate(members, truths))
    outcome = summarize_group(
        plan,
        {attempt.rollout.key: attempt.selection for attempt in attempts},
        members,
        group_of_one=group_of_one,
        truth=truths,
        work=sum((attempt.work for attempt in attempts), WorkSeconds()),
        seconds=time.perf_counter() - start,
    )
    gates = {(member.kind, member.key): member.gate for member in members}
    reached = tuple(_reached(plan, attempt, gates, truths.get(attempt.rollout.key)) for attempt in attempts)
    return GroupResult(request.uid, members, rewards, outcome, reached)


async def _attempt(
    rollout: Rollout, plan: GroupPlan, reference: str, seed: str, config: FeedbackConfig, models: Models
) -> _Attempt:
    asked = time.perf_counter()
    samples = models.candidates(rollout, plan)
    if samples is None:
        try:
            samples = await models.repair(models.decode(rollout.token_ids), reference, seed)
        except NoRepair as failure:
            lost = WorkSeconds(decode=time.perf_counter() - asked)
            return _Attempt(rollout, (), (), no_candidates(failure.reason), lost)
    sampled = time.perf_counter()
    judged = await asyncio.gather(*(_judge(sample, models) for sample in samples))
    candidates = tuple(candidate for candidate, _ in judged)
    start = time.perf_counter()
    selection = await _aside(
        len(rollout.token_ids),
        select_repair,
        rollout.token_ids,
        candidates,
        threshold=config.repair_threshold,
        loss_mask=rollout.loss_mask,
        method=config.alignment.method,
        backend=config.alignment.backend,
    )
    queued = min(max((sample.queued for sample in samples), default=0.0), sampled - asked)
    work = WorkSeconds(queued, sampled - asked - queued, start - sampled, time.perf_counter() - start)
    return _Attempt(rollout, candidates, tuple(judgement for _, judgement in judged), selection, work)


async def _aside(tokens: int, work: Callable[P, R], *arguments: P.args, **named: P.kwargs) -> R:
    """`work(...)`, in a thread for responses of many tokens: the event loop has its turns between the calls of
    RapidFuzz, each of which keeps the interpreter. For short ones, changing threads would take longer than the work.
    """
    if tokens < LONG_RESPONSE:
        return work(*arguments, **named)
    return await asyncio.to_thread(work, *arguments, **named)


async def _judge(sample: RepairSample, models: Models) -> tuple[Candidate, Judgement | None]:
    unscored = Candidate(sample.token_ids, None, sample.finished, sample.contains_placeholder)
    if rejected_unscored(unscored) is not None:
        return unscored, None
    judgement = await models.judge(sample.token_ids)
    return Candidate(sample.token_ids, judgement.r_task, sample.finished, sample.contains_placeholder), judgement


def _is_group_of_one(members: Sequence[GroupMember], request: GroupRequest, mode: GroupMode) -> bool:
    """Whether a single member is left, which is then not trained on.

    Our reading: rewards are normalised within a group, and one reward has nothing to be compared with; verl would take
    it, raw, for the advantage. A prompt that was sampled once and is only gated stays: nothing was taken from it.
    """
    sampled_alone = mode is GroupMode.GATE_ONLY and len(request.rollouts) == 1
    return len(members) == 1 and not sampled_alone


def _repair(attempt: _Attempt, chosen: int) -> Repair:
    candidate, selection = attempt.candidates[chosen], attempt.selection
    return Repair(attempt.rollout.key, candidate.token_ids, candidate.reward, selection.alignment, selection.loss_mask)


def _reached(
    plan: GroupPlan, attempt: _Attempt, gates: Mapping[tuple[MemberKind, str], np.ndarray], truth: np.ndarray | None
) -> RepairAttempt:
    rollout, selection, alignment = attempt.rollout, attempt.selection, attempt.selection.alignment
    nothing = np.zeros(len(rollout.token_ids), dtype=np.float32)
    repair = None
    if selection.chosen is not None:
        candidate = attempt.candidates[selection.chosen]
        repair = RepairedSide(
            token_ids=np.asarray(candidate.token_ids, dtype=np.int64),
            # a gap may mark an observation token, but no mask covers it
            mask=alignment.repair_mask & np.asarray(selection.loss_mask, dtype=bool),
            # in gate-only mode the repair is no member of the group and has no gate of its own
            gate=gates.get((MemberKind.REPAIR, rollout.key), np.zeros(len(candidate.token_ids), dtype=np.float32)),
            reward=candidate.reward,
        )
    generated = np.asarray(rollout.loss_mask, dtype=bool)
    return RepairAttempt(
        key=rollout.key,
        reference=plan.reference.kind,
        sibling=plan.reference.given.key if isinstance(plan.reference.given, Rollout) else None,
        mask=nothing.astype(bool) if alignment is None else alignment.error_mask & generated,
        gate=gates.get((MemberKind.ERROR, rollout.key), nothing),
        truth=None if truth is None else np.asarray(truth, dtype=bool),
        repair=repair,
        edit_distance=None if alignment is None else alignment.distance,
        edit_ratio=None if alignment is None else alignment.edit_ratio,
        rejections=selection.rejections,
        chosen=selection.chosen,
        candidates=tuple(candidate.token_ids for candidate in attempt.candidates) or ((),) * len(selection.rejections),
    )
