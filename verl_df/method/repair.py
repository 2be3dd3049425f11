# SPDX-License-Identifier: Apache-2.0
"""Choosing the repair of one erroneous rollout among n samples of the repair model (Eq. 5-7)."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

import numpy as np

from verl_df.method.alignment import Alignment, Backend, Method, align, edit_distance
from verl_df.method.checks import check_reward


@dataclass(frozen=True)
class Candidate:
    """One sample ŷ⁽ⁱ⁾ of the repair model (Eq. 5).

    token_ids: response tokens including the end token, cut to the policy's response length. reward: r_task(x, ŷ) in
    [0, 1]; None where `rejected_unscored` already gives a reason, so that nothing is scored in vain. finished: ends
    with an end-of-sequence token. contains_placeholder: holds a sampled image or video pad token, which would break
    the count of images against tokens when the policy reads it. Raises: ValueError for a reward outside [0, 1].
    """

    token_ids: tuple[int, ...]
    reward: float | None
    finished: bool
    contains_placeholder: bool

    def __post_init__(self) -> None:
        if self.reward is not None:
            check_reward("a repair candidate", self.reward)


class Rejection(StrEnum):
    """Why a candidate is not in the feasible set S(x, y) (Eq. 6)."""

    WRONG = "wrong"
    UNFINISHED = "unfinished"
    PLACEHOLDER = "placeholder"
    EMPTY = "empty"
    IDENTICAL = "identical"  # right although it equals the wrong y: the reward is not a function of the tokens
    OBSERVATION = "observation"  # changes what a tool or an environment wrote
    PROMPT_TOO_LONG = "prompt_too_long"  # the repair model was not asked: question, y and a do not fit its context
    NO_ANSWER = "no_answer"  # the repair engine gave none, or not in time
    OTHER_TOKENS = "other_tokens"  # token ids that the policy's tokenizer reads otherwise than the one that wrote them


@dataclass(frozen=True, eq=False)
class Selection:
    """The outcome for one erroneous rollout; `distances` and `rejections` have one entry per candidate.

    chosen: index of the repair, None when S is empty. alignment: of y with the chosen repair. loss_mask: one bool per
    token of the chosen repair, False for the observation tokens of y that it keeps. distances: A_edit(y, ŷ) in tokens
    of the candidates that answer right and could be scored, None for the others.
    """

    chosen: int | None
    alignment: Alignment | None
    loss_mask: tuple[bool, ...] | None
    distances: tuple[int | None, ...]
    rejections: tuple[Rejection | None, ...]


def no_candidates(reason: Rejection) -> Selection:
    """The outcome for a rollout of which no sample could be had; counts as one candidate, rejected for `reason`."""
    return Selection(None, None, None, (None,), (reason,))


def rejected_unscored(candidate: Candidate) -> Rejection | None:
    """The reason to reject a candidate that holds whatever its reward, or None if it has to be scored."""
    if not candidate.token_ids:
        return Rejection.EMPTY
    if candidate.contains_placeholder:
        return Rejection.PLACEHOLDER
    return None if candidate.finished else Rejection.UNFINISHED


def select_repair(
    error_ids: Sequence[int],
    candidates: Sequence[Candidate],
    *,
    threshold: float,
    loss_mask: Sequence[bool] | None = None,
    method: Method = Method.LEVENSHTEIN,
    backend: Backend = Backend.RAPIDFUZZ,
) -> Selection:
    """The feasible candidate nearest to y in edit distance (Eq. 6, 7); among equals the first.

    Args:
        error_ids: y, token ids [T].
        candidates: ŷ⁽¹⁾ ... ŷ⁽ⁿ⁾.
        threshold: r_task from which a repair is right (Eq. 6: 1).
        loss_mask: bool [T], False for tool and observation tokens of y; None: the policy wrote all.
        method: of the alignment (Eq. 8); the choice itself always uses the Levenshtein distance.
        backend: of the alignment.

    Our reading: a repair keeps every observation token. The policy did not write it, so a repair has no say in it, and
    training the policy on an edited tool output would be wrong. The alignment's canonical path decides: a candidate is
    rejected where it replaces or deletes an observation token, or inserts inside a run of them.

    Raises: ValueError for a candidate without the reward it should have, or a loss mask of another length; as `align`.
    """
    error_ids = tuple(error_ids)
    observed = _observed(error_ids, loss_mask)

    @cache  # with observation tokens each feasible candidate is aligned, and the chosen one is asked for again
    def alignment(position: int) -> Alignment:
        return align(error_ids, candidates[position].token_ids, method=method, backend=backend)

    distances, rejections = _distances(error_ids, candidates, threshold, backend)
    if observed.any():
        for position in _feasible(rejections):
            if _changes(alignment(position), observed):
                rejections[position] = Rejection.OBSERVATION
    chosen = min(_feasible(rejections), key=lambda position: distances[position], default=None)
    if chosen is None:
        return Selection(None, None, None, tuple(distances), tuple(rejections))
    mask = _loss_mask(alignment(chosen), observed)
    return Selection(chosen, alignment(chosen), mask, tuple(distances), tuple(rejections))


def _observed(error_ids: Sequence[int], loss_mask: Sequence[bool] | None) -> np.ndarray:
    """Which tokens of y are observations, bool [T]."""
    if loss_mask is None:
        return np.zeros(len(error_ids), dtype=bool)
    if len(loss_mask) != len(error_ids):
        raise ValueError(f"y has {len(error_ids)} tokens and a loss mask of {len(loss_mask)}")
    return ~np.asarray(loss_mask, dtype=bool)


def _distances(
    error_ids: tuple[int, ...], candidates: Sequence[Candidate], threshold: float, backend: Backend
) -> tuple[list[int | None], list[Rejection | None]]:
    """A_edit of the right candidates, and why a candidate is rejected whatever its alignment."""
    distances: list[int | None] = []
    for position, candidate in enumerate(candidates):
        right = rejected_unscored(candidate) is None and _reward(candidate, position) >= threshold
        distances.append(edit_distance(error_ids, candidate.token_ids, backend=backend) if right else None)
    return distances, [_rejection(*pair) for pair in zip(candidates, distances, strict=True)]


def _feasible(rejections: Sequence[Rejection | None]) -> list[int]:
    return [position for position, rejection in enumerate(rejections) if rejection is None]


def _changes(alignment: Alignment, observed: np.ndarray) -> bool:
    """Whether the path replaces or deletes an observation token of y, or inserts between two of them."""
    removed = [edit.error_pos for edit in alignment.edits if edit.kind != "insert"]
    gaps = [edit.error_pos for edit in alignment.edits if edit.kind == "insert" and 0 < edit.error_pos < len(observed)]
    inside = observed[1:] & observed[:-1]  # entry i - 1: the gap before token i
    return bool(observed[removed].any() or inside[[gap - 1 for gap in gaps]].any())


def _loss_mask(alignment: Alignment, observed: np.ndarray) -> tuple[bool, ...]:
    """False for the tokens of ŷ that are matched with an observation token of y."""
    if not observed.any():
        return (True,) * len(alignment.repair_mask)
    matched = alignment.matched
    return tuple(((matched < 0) | ~observed[matched]).tolist())


def _rejection(candidate: Candidate, distance: int | None) -> Rejection | None:
    """The reason, given the distance of a right candidate (None for one that is not right or not scored)."""
    if distance is None:
        return rejected_unscored(candidate) or Rejection.WRONG
    return Rejection.IDENTICAL if distance == 0 else None


def _reward(candidate: Candidate, position: int) -> float:
    if candidate.reward is None:
        raise ValueError(f"candidate {position} has no reward: score every candidate that rejected_unscored lets pass")
    return candidate.reward
