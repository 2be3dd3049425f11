# SPDX-License-Identifier: Apache-2.0
"""Error/repair pairs of a run as JSON lines: one record per erroneous rollout that was sent to the repair model."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from verl_df.io.json_lines import LineWriter, check_names, compact_line, read_lines, versioned_object
from verl_df.method.checks import check_choice
from verl_df.method.feedback import GroupRequest, RepairAttempt
from verl_df.method.group import REFERENCE_KINDS

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class TokenSide:
    """One side of a pair; all sequences have one entry per response token.

    tokens: decoded text of each token. mask: m or m′, 0 or 1. gate: g_t in [0, 1]. reward: r_task in [0, 1].
    Raises: ValueError where the lengths differ.
    """

    token_ids: tuple[int, ...]
    tokens: tuple[str, ...]
    mask: tuple[int, ...]
    gate: tuple[float, ...]
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


@dataclass(frozen=True)
class PairRecord:
    """One erroneous rollout with its chosen repair, if there is one.

    step: training step. uid: prompt id. images: file names. reference_kind: "sibling" (a correct rollout, `reference`
    is its text) or "answer" (the annotated answer). repair, edit_distance (tokens), edit_ratio: None without a feasible
    repair. truth_mask: the true error mask of the error side where the task knows it, 0 or 1 per token. rejections: one
    per candidate, a reason or None.

    Raises: ValueError for an unknown reference kind, a truth mask of another length, or a repair without its distance.
    """

    step: int
    uid: str
    prompt: str
    images: tuple[str, ...]
    ground_truth: str
    reference: str
    reference_kind: str
    error: TokenSide
    repair: TokenSide | None
    edit_distance: int | None
    edit_ratio: float | None
    truth_mask: tuple[int, ...] | None
    rejections: tuple[str | None, ...]

    def __post_init__(self) -> None:
        check_choice("reference_kind", self.reference_kind, REFERENCE_KINDS)
        if self.truth_mask is not None:
            _check_length("truth_mask", self.truth_mask, self.error.token_ids)
        absent = [field is None for field in (self.repair, self.edit_distance, self.edit_ratio)]
        if any(absent) != all(absent):
            raise ValueError("repair, edit_distance and edit_ratio must be given together, or all be None")


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
    sibling = rollouts[attempt.reference] if attempt.reference is not None else None

    def side(token_ids: Sequence[int], mask: np.ndarray, gate: np.ndarray, reward: float) -> TokenSide:
        return TokenSide.from_arrays(token_ids, token_texts(token_ids), mask, gate, reward)

    return PairRecord(
        step=step,
        uid=request.uid,
        prompt=prompt,
        images=images,
        ground_truth=request.answer or "",
        reference=(request.answer or "") if sibling is None else decode(sibling.token_ids),
        reference_kind=REFERENCE_KINDS[sibling is None],
        error=side(rollout.token_ids, attempt.mask, attempt.gate, rollout.reward),
        repair=None if repair is None else side(repair.token_ids.tolist(), repair.mask, repair.gate, repair.reward),
        edit_distance=attempt.edit_distance,
        edit_ratio=attempt.edit_ratio,
        truth_mask=None if attempt.truth is None else tuple(int(wrong) for wrong in attempt.truth),
        rejections=tuple(reason and reason.value for reason in attempt.rejections),
    )


def to_json_line(record: PairRecord) -> str:
    """The record as one line of JSON, without the line break. Raises: ValueError for NaN or infinite numbers."""
    return compact_line(SCHEMA_VERSION, dataclasses.asdict(record))


def from_json_line(line: str) -> PairRecord:
    """Read one line. Raises: ValueError for text that is no JSON object, another schema version, or wrong keys."""
    content = versioned_object(line, SCHEMA_VERSION, "a record")
    fields = _fields(PairRecord, content, "record")
    fields["error"] = _side(fields["error"], "error")
    fields["repair"] = None if fields["repair"] is None else _side(fields["repair"], "repair")
    return PairRecord(**fields)


def read_records(path: str | Path) -> Iterator[PairRecord]:
    """Read a file of records one by one; empty lines are passed over. Raises: ValueError with file and line number."""
    for _, record in read_lines(Path(path), from_json_line):
        yield record


class PairWriter(LineWriter):
    """Appends records to a file."""

    def write(self, record: PairRecord) -> None:
        self.write_line(to_json_line(record))


def _check_length(name: str, values: Sequence[object], token_ids: Sequence[int]) -> None:
    if len(values) != len(token_ids):
        raise ValueError(f"{name} has {len(values)} entries for {len(token_ids)} tokens")


def _side(content: object, name: str) -> TokenSide:
    if not isinstance(content, dict):
        raise ValueError(f"{name} must be a JSON object, not a {type(content).__name__}")
    return TokenSide(**_fields(TokenSide, content, name))


def _fields(cls: type, content: dict[str, Any], where: str) -> dict[str, Any]:
    """`content` checked against the fields of `cls`, its lists made tuples."""
    try:
        check_names(content, (field.name for field in dataclasses.fields(cls)))
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    return {key: tuple(value) if isinstance(value, list) else value for key, value in content.items()}
