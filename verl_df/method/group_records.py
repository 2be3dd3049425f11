# SPDX-License-Identifier: Apache-2.0
"""Groups of a run as JSON lines: all rollouts of a prompt, what was asked for them, and what entered the update."""

from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np

from verl_df.io.lines import Lines
from verl_df.io.validation import Listed, checked
from verl_df.method.feedback import GroupRequest, RepairAttempt
from verl_df.method.group import ReferenceKind, SkipReason
from verl_df.method.records import given_text


@checked
class RolloutRecord:
    """One rollout of a group.

    Attributes:
        key: in the step's batch; that of the pair's record, where there is one.
        text: of the response, without special tokens.
        tokens: its length.
        reward: r_task in [0, 1].
        finished: false: cut by the length limit.
        used: whether it entered the update.
        gated: share of its tokens with a gate above 0; 0 where it was not used.
        rejections: one per repair candidate, a reason or None; None: no repair was asked for.
        repair: text of the chosen repair; None without one, as the next.
        repair_reward: its r_task.
        repair_used: whether a repair of it entered the update as a row.
        candidates: one per repair candidate: its text, cut after `LOGGED_TOKENS` tokens, or None of the chosen one,
            which is `repair`, and of one that could not be had. Empty in files of older runs.
    """

    key: str
    text: str
    tokens: int
    reward: float
    finished: bool
    used: bool
    gated: float
    rejections: Listed[str | None] | None
    repair: str | None
    repair_reward: float | None
    repair_used: bool
    candidates: Listed[str | None] = ()


@checked
class GroupRecord:
    """One prompt of a step.

    Attributes:
        step: training step.
        uid: prompt id.
        prompt: x as text.
        images: file names.
        ground_truth: the annotated answer.
        reference: a as text, None where no repair was asked for, as its kind.
        reference_kind: as in the records of pairs.
        skip: why no repair was asked for, a `SkipReason`, or None.
        rollouts: in the order of their sessions.
    """

    step: int
    uid: str
    prompt: str
    images: Listed[str]
    ground_truth: str
    reference: str | None
    reference_kind: ReferenceKind | None
    skip: str | None
    rollouts: Listed[RolloutRecord]


GROUPS = Lines(GroupRecord, version=1)
GROUPS_FILE = "groups.jsonl"

LOGGED_TOKENS = 2048
CUT = " … [cut]"


def group_record(
    request: GroupRequest,
    attempts: Sequence[RepairAttempt],
    gated: dict[str, float],
    repairs_used: Collection[str],
    candidates: Mapping[str, Sequence[np.ndarray]],
    *,
    step: int,
    skip: SkipReason | None,
    prompt: str,
    images: tuple[str, ...],
    decode: Callable[[Sequence[int]], str],
) -> GroupRecord:
    """The record of one group.

    Args:
        request: the group.
        attempts: of its rollouts that were sent to the repair model.
        gated: by the key of each rollout in the update, its share of tokens with a gate above 0.
        repairs_used: keys of the rollouts whose repair is in the update.
        candidates: token ids of all repair candidates, by the key of their rollout; longer ones than `LOGGED_TOKENS`
            may be cut behind the first token too many. Those of a rollout may be missing.
        step: training step.
        skip: why no repair was asked for, or None.
        prompt: the prompt as text.
        images: file names of its pictures.
        decode: token ids -> text without special tokens.
    """
    by_key = {attempt.key: attempt for attempt in attempts}
    reference = next(iter(attempts), None)
    rows = []
    for rollout in request.rollouts:
        attempt = by_key.get(rollout.key)
        repair = None if attempt is None else attempt.repair
        rows.append(
            RolloutRecord(
                key=rollout.key,
                text=decode(rollout.token_ids),
                tokens=len(rollout.token_ids),
                reward=rollout.reward,
                finished=rollout.finished,
                used=rollout.key in gated,
                gated=round(gated.get(rollout.key, 0.0), 4),
                rejections=None if attempt is None else tuple(one and one.value for one in attempt.rejections),
                repair=None if repair is None else decode(repair.token_ids.tolist()),
                repair_reward=None if repair is None else repair.reward,
                repair_used=rollout.key in repairs_used,
                candidates=() if attempt is None else _texts(attempt, candidates.get(rollout.key, ()), decode),
            )
        )
    return GroupRecord(
        step=step,
        uid=request.uid,
        prompt=prompt,
        images=images,
        ground_truth=request.answer or "",
        reference=None if reference is None else given_text(request, reference, decode),
        reference_kind=None if reference is None else reference.reference,
        skip=None if skip is None else skip.value,
        rollouts=tuple(rows),
    )


def _texts(
    attempt: RepairAttempt, candidates: Sequence[np.ndarray], decode: Callable[[Sequence[int]], str]
) -> tuple[str | None, ...]:
    def text(number: int, ids: np.ndarray) -> str | None:
        if number == attempt.chosen or not len(ids):
            return None
        return decode(ids[:LOGGED_TOKENS].tolist()) + CUT * (len(ids) > LOGGED_TOKENS)

    return tuple(text(number, ids) for number, ids in enumerate(candidates))
