# SPDX-License-Identifier: Apache-2.0
"""Choosing the repair of one erroneous rollout among n samples of the repair model (Eq. 5-7)."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from verl_df.core.alignment import Alignment, align, edit_distance
from verl_df.core.checks import check_reward


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


@dataclass(frozen=True, eq=False)
class Selection:
    """The outcome for one erroneous rollout; `distances` and `rejections` have one entry per candidate.

    chosen: index of the repair, None when S is empty. alignment: of y with the chosen repair. distances: A_edit(y, ŷ)
    in tokens of the candidates that answer right and could be scored, None for the others.
    """

    chosen: int | None
    alignment: Alignment | None
    distances: tuple[int | None, ...]
    rejections: tuple[Rejection | None, ...]


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
    method: str = "levenshtein",
    backend: str = "rapidfuzz",
) -> Selection:
    """The feasible candidate nearest to y in edit distance (Eq. 6, 7); among equals the first.

    error_ids: y, token ids [T]. threshold: τ_r. method, backend: of the alignment (Eq. 8); the choice itself always
    uses the Levenshtein distance.

    Raises: ValueError for a candidate without the reward it should have; as `align`.
    """
    error_ids = tuple(error_ids)
    distances: list[int | None] = []
    rejections: list[Rejection | None] = []
    for position, candidate in enumerate(candidates):
        right = rejected_unscored(candidate) is None and _reward(candidate, position) >= threshold
        distances.append(edit_distance(error_ids, candidate.token_ids, backend=backend) if right else None)
        rejections.append(_rejection(candidate, distances[-1]))
    feasible = [position for position, rejection in enumerate(rejections) if rejection is None]
    chosen = min(feasible, key=lambda position: distances[position], default=None)
    alignment = None
    if chosen is not None:
        alignment = align(error_ids, candidates[chosen].token_ids, method=method, backend=backend)
    return Selection(chosen, alignment, tuple(distances), tuple(rejections))


def _rejection(candidate: Candidate, distance: int | None) -> Rejection | None:
    """The reason, given the distance of a right candidate (None for one that is not right or not scored)."""
    if distance is None:
        return rejected_unscored(candidate) or Rejection.WRONG
    return Rejection.IDENTICAL if distance == 0 else None


def _reward(candidate: Candidate, position: int) -> float:
    if candidate.reward is None:
        raise ValueError(f"candidate {position} has no reward: score every candidate that rejected_unscored lets pass")
    return candidate.reward
