# SPDX-License-Identifier: Apache-2.0
"""Error/repair pairs of a run as JSON lines: one record per erroneous rollout that was sent to the repair model."""

from collections.abc import Callable, Sequence

import numpy as np

from verl_df.io.lines import Lines
from verl_df.io.validation import Listed, checked
from verl_df.method.feedback import GroupRequest, RepairAttempt
from verl_df.method.group import REFERENCE_KINDS as REFERENCE_KINDS
from verl_df.method.group import ReferenceKind


@checked
class TokenSide:
    """One side of a pair; all sequences have one entry per response token.

    Attributes:
        token_ids: of the response.
        tokens: decoded text of each token.
        mask: m or m′, 0 or 1.
        gate: g_t in [0, 1].
        reward: r_task in [0, 1].

    Raises:
        ValueError: the lengths differ.
    """

    token_ids: Listed[int]
    tokens: Listed[str]
    mask: Listed[int]
    gate: Listed[float]
    reward: float

    def __post_init__(self) -> None:
        for name in ("tokens", "mask", "gate"):
            _check_length(name, getattr(self, name), self.token_ids)

    @classmethod
    def from_arrays(
        cls, token_ids: Sequence[int], tokens: Sequence[str], mask: np.ndarray, gate: np.ndarray, reward: float
    ) -> "TokenSide":
        """Make a side from arrays of length [T]; the gate is rounded to 4 decimals, enough to draw it."""
        ids, marked = tuple(int(token) for token in token_ids), tuple(int(value) for value in mask)
        return cls(ids, tuple(tokens), marked, tuple(round(float(value), 4) for value in gate), float(reward))


@checked
class PairRecord:
    """One erroneous rollout with its chosen repair, if there is one.

    Attributes:
        step: training step.
        uid: prompt id.
        prompt: x as text.
        images: file names.
        ground_truth: the annotated answer.
        reference: a as text.
        reference_kind: "sibling" (a correct rollout), "answer" (the annotated answer) or "preferred" (the preferred
            response of the row).
        error: y.
        repair: the chosen ŷ; None without a feasible one, as the next two.
        edit_distance: A_edit(y, ŷ), in tokens.
        edit_ratio: A_edit / max(1, |y|).
        truth_mask: the true error mask of y where the task knows it, 0 or 1 per token.
        rejections: one per candidate, a reason or None.
        key: of the rollout y in the step's batch; empty in files of older runs.

    Raises:
        ValueError: a truth mask of another length than y, or a repair without its distance.
    """

    step: int
    uid: str
    prompt: str
    images: Listed[str]
    ground_truth: str
    reference: str
    reference_kind: ReferenceKind
    error: TokenSide
    repair: TokenSide | None
    edit_distance: int | None
    edit_ratio: float | None
    truth_mask: Listed[int] | None
    rejections: Listed[str | None]
    key: str = ""

    def __post_init__(self) -> None:
        if self.truth_mask is not None:
            _check_length("truth_mask", self.truth_mask, self.error.token_ids)
        absent = [field is None for field in (self.repair, self.edit_distance, self.edit_ratio)]
        if any(absent) != all(absent):
            raise ValueError("repair, edit_distance and edit_ratio must be given together, or all be None")


PAIRS = Lines(PairRecord, version=1, optional=("key",))


def given_text(request: GroupRequest, attempt: RepairAttempt, decode: Callable[[Sequence[int]], str]) -> str:
    """a as text: what the repair model was given beside y. decode: token ids -> text without special tokens."""
    if attempt.sibling is None:
        return {"answer": request.answer, "preferred": request.preferred}[attempt.reference] or ""
    return decode(next(one.token_ids for one in request.rollouts if one.key == attempt.sibling))


def pair_record(
    attempt: RepairAttempt,
    request: GroupRequest,
    *,
    step: int,
    prompt: str,
    images: tuple[str, ...],
    decode: Callable[[Sequence[int]], str],
    token_texts: Callable[[Sequence[int]], Sequence[str]],
) -> PairRecord:
    """The record of one attempt.

    Decoding each token of both sides costs some 20 microseconds a token: make records of the pairs that are kept only.

    Args:
        attempt: of a rollout of `request`.
        request: its group.
        step: training step.
        prompt: the prompt as text.
        images: file names of the prompt's pictures.
        decode: token ids -> text without special tokens.
        token_texts: token ids -> one text per token.
    """
    rollouts = {rollout.key: rollout for rollout in request.rollouts}
    rollout, repair = rollouts[attempt.key], attempt.repair

    def side(token_ids: Sequence[int], mask: np.ndarray, gate: np.ndarray, reward: float) -> TokenSide:
        return TokenSide.from_arrays(token_ids, token_texts(token_ids), mask, gate, reward)

    return PairRecord(
        step=step,
        uid=request.uid,
        prompt=prompt,
        images=images,
        ground_truth=request.answer or "",
        reference=given_text(request, attempt, decode),
        reference_kind=attempt.reference,
        error=side(rollout.token_ids, attempt.mask, attempt.gate, rollout.reward),
        repair=None if repair is None else side(repair.token_ids.tolist(), repair.mask, repair.gate, repair.reward),
        edit_distance=attempt.edit_distance,
        edit_ratio=attempt.edit_ratio,
        truth_mask=None if attempt.truth is None else tuple(int(wrong) for wrong in attempt.truth),
        rejections=tuple(reason and reason.value for reason in attempt.rejections),
        key=attempt.key,
    )


def _check_length(name: str, values: Sequence[object], token_ids: Sequence[int]) -> None:
    if len(values) != len(token_ids):
        raise ValueError(f"{name} has {len(values)} entries for {len(token_ids)} tokens")
