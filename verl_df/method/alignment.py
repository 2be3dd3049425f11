# SPDX-License-Identifier: Apache-2.0
"""The alignment operator A(y, ŷ) → (m, m′) and the token edit distance A_edit (Eq. 2 and 8).

Where the two sequences stay matched is taken from the engine; what lies between two matches is a *block*: tokens of y
on one side, tokens of ŷ on the other, one side possibly empty. The masks follow from the blocks:

* tokens of a block are marked, on both sides (substitution, deletion, insertion);
* a side that is empty is a gap, and the gap position counts too (our reading): an insertion before y_i marks y_i, a
  deletion before ŷ_j marks ŷ_j, a gap past the end marks the last token.

Among the equally short paths one is canonical (our reading), for both methods:

* every block starts where the two sequences part. In `and and` for `and` the engine may call either word the one that
  is too many; the second is, for up to the first the two responses agree. So a gap moves right while its first token
  is the other side's next one.
* in a block with tokens on both sides the gaps come first: they fall on tokens that are marked anyway, and no matched
  token after the block is marked. LCS writes a substitution as a deletion and an insertion in one block.
"""

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from rapidfuzz.distance import LCSseq, Levenshtein

from verl_df.io.validation import Choice, checked


class Method(Choice):
    """Whose shortest path is taken."""

    LEVENSHTEIN = "levenshtein"
    LCS = "lcs"


class Backend(Choice):
    """Which package finds the path."""

    RAPIDFUZZ = "rapidfuzz"
    PYTHON_LEVENSHTEIN = "python-levenshtein"


@checked
class AlignmentConfig:
    """The alignment operator A(y, ŷ) (Eq. 8).

    Attributes:
        method: `levenshtein` (shortest edit path) or `lcs` (ablation).
        backend: `rapidfuzz`, or `python-levenshtein` (an extra under the GPL; only for `levenshtein`).
    """

    method: Method = Method.LEVENSHTEIN
    backend: Backend = Backend.RAPIDFUZZ

    def __post_init__(self) -> None:
        if self.method is Method.LCS and self.backend is Backend.PYTHON_LEVENSHTEIN:
            raise ValueError("backend=python-levenshtein has no LCS: use rapidfuzz")


class Edit(NamedTuple):
    """One operation of the canonical path from y to ŷ.

    kind is "replace", "delete" or "insert". error_pos indexes y, repair_pos indexes ŷ (both int, 0-based). For an
    insertion error_pos is the token it goes before (|y| at the end); for a deletion repair_pos is the token of ŷ that
    it happens before (|ŷ| at the end).
    """

    kind: str
    error_pos: int
    repair_pos: int


class Block(NamedTuple):
    """Half-open ranges y[error_start:error_end] and ŷ[repair_start:repair_end] between two matched stretches."""

    error_start: int
    error_end: int
    repair_start: int
    repair_end: int


@dataclass(frozen=True, eq=False)
class Alignment:
    """Masks and path of one pair.

    error_mask: bool [|y|], m of Eq. 8. repair_mask: bool [|ŷ|], m′ of Eq. 8. distance: A_edit(y, ŷ) in tokens, the
    Levenshtein distance whatever the method. edits: the canonical path; as many as `distance` for Levenshtein.
    """

    error_mask: np.ndarray
    repair_mask: np.ndarray
    distance: int
    edits: tuple[Edit, ...]

    @property
    def edit_ratio(self) -> float:
        """A_edit(y, ŷ) / max(1, |y|), the penalty term of Eq. 4; can exceed 1 when ŷ is longer than y."""
        return self.distance / max(1, len(self.error_mask))

    @property
    def matched(self) -> np.ndarray:
        """For each token of ŷ the position in y that it is matched with, −1 for a token without one; int64 [|ŷ|].

        The path keeps the matched tokens of both sides in their order, so the n-th of ŷ belongs to the n-th of y.
        """
        kept_error = np.ones(len(self.error_mask), dtype=bool)
        kept_repair = np.ones(len(self.repair_mask), dtype=bool)
        kept_error[[edit.error_pos for edit in self.edits if edit.kind != "insert"]] = False
        kept_repair[[edit.repair_pos for edit in self.edits if edit.kind != "delete"]] = False
        positions = np.full(len(self.repair_mask), -1, dtype=np.int64)
        positions[kept_repair] = np.flatnonzero(kept_error)
        return positions

    def edits_only(self, kind: str) -> bool:
        """Whether the path has edits, all of this kind: "insert", "delete" or "replace"."""
        return {edit.kind for edit in self.edits} == {kind}


def edit_distance(error: Sequence[int], repair: Sequence[int], *, backend: Backend = Backend.RAPIDFUZZ) -> int:
    """Token-level Levenshtein distance A_edit(y, ŷ) (Eq. 2), in tokens.

    Raises: ValueError for an unknown backend or an id outside [0, 2**64), TypeError for ids that are not integers,
    ImportError where the backend is not installed.
    """
    config = AlignmentConfig(backend=backend)
    y, y_hat = _ids(error), _ids(repair)
    if config.backend is Backend.PYTHON_LEVENSHTEIN:
        return _python_levenshtein().distance(y, y_hat)
    return Levenshtein.distance(y, y_hat, score_hint=_hint(y))


def align(
    error: Sequence[int],
    repair: Sequence[int],
    *,
    method: Method = Method.LEVENSHTEIN,
    backend: Backend = Backend.RAPIDFUZZ,
) -> Alignment:
    """A(y, ŷ) (Eq. 8) for an erroneous response y [T] and a repaired one ŷ [T′], both token ids, both may be empty.

    The direction is fixed, from y to ŷ; among equal paths the result is deterministic. Token ids may be any
    non-negative integers.

    Raises: as `edit_distance`, and ValueError for an unknown method or for LCS asked of python-Levenshtein.
    """
    config = AlignmentConfig(method, backend)
    y, y_hat = _ids(error), _ids(repair)
    blocks = _blocks(y, y_hat, _matches(y, y_hat, config))
    edits = tuple(edit for block in blocks for edit in _edits(block, config.method))
    return Alignment(
        error_mask=_mask(len(y), [block[:2] for block in blocks]),
        repair_mask=_mask(len(y_hat), [block[2:] for block in blocks]),
        distance=len(edits) if config.method is Method.LEVENSHTEIN else Levenshtein.distance(y, y_hat),
        edits=edits,
    )


def _ids(tokens: Sequence[int]) -> array:
    """Token ids as unsigned 64-bit integers, which the engines compare as they are.

    Of other sequences they compare hashes, and Python's hash of an int repeats: -1 has that of -2, 2**61 - 1 that of 0.
    """
    try:
        return array("Q", tokens)
    except OverflowError as error:
        raise ValueError(
            f"token ids must be at least 0 and below 2**64, not {min(tokens)} to {max(tokens)}: cut padding and "
            "ignored labels before aligning"
        ) from error


def _hint(y: array) -> int:
    """A distance to try first. It changes no result: the engine looks at a band of its table, of twice the width each
    time that the distance turns out larger. A repair is a near copy, and a narrow band takes a fraction of the time;
    for texts that have little in common it takes half as much again.
    """
    return len(y) // 16


def _matches(y: array, y_hat: array, config: AlignmentConfig) -> list[tuple[int, int, int]]:
    """Matched stretches (start in y, start in ŷ, length) of the engine's shortest path."""
    if config.backend is Backend.PYTHON_LEVENSHTEIN:
        engine = _python_levenshtein()
        return engine.matching_blocks(engine.editops(y, y_hat), len(y), len(y_hat))
    if config.method is Method.LCS:
        path = LCSseq.editops(y, y_hat)
    else:
        path = Levenshtein.editops(y, y_hat, score_hint=_hint(y))
    return [(match.a, match.b, match.size) for match in path.as_matching_blocks()]


def _blocks(y: Sequence[int], y_hat: Sequence[int], matches: Iterable[tuple[int, int, int]]) -> list[Block]:
    """What lies between matches (start in y, start in ŷ, length), each block where the sequences part."""
    blocks = []
    i = j = 0  # where the present block starts
    for error_end, repair_end, size in [*matches, (len(y), len(y_hat), 0)]:
        after = error_end + size, repair_end + size
        while size and (i == error_end) != (j == repair_end) and y[i] == y_hat[j]:  # a gap on one side: move it right
            i, error_end, j, repair_end, size = i + 1, error_end + 1, j + 1, repair_end + 1, size - 1
        at_end = after == (len(y), len(y_hat))
        if (i, j) == (error_end, repair_end):
            i, j = after
        elif size or at_end:
            blocks.append(Block(i, error_end, j, repair_end))
            i, j = after
        # else the gap has reached the next block, and is part of it
    return blocks


def _edits(block: Block, method: Method) -> list[Edit]:
    """The path through one block, gaps first; LCS has no substitution."""
    i, error_end, j, repair_end = block
    replaced = min(error_end - i, repair_end - j) if method is Method.LEVENSHTEIN else 0
    edits = [Edit("insert", i, position) for position in range(j, repair_end - replaced)]
    edits += [Edit("delete", position, j) for position in range(i, error_end - replaced)]
    pairs = zip(range(error_end - replaced, error_end), range(repair_end - replaced, repair_end), strict=True)
    return edits + [Edit("replace", *pair) for pair in pairs]


def _mask(length: int, ranges: Iterable[tuple[int, int]]) -> np.ndarray:
    """Mark each range; an empty range is a gap and marks the token after it, or the last token (our reading)."""
    mask = np.zeros(length, dtype=bool)
    for start, end in ranges:
        if start == end:
            start, end = min(start, length - 1), min(start, length - 1) + 1
        mask[start:end] = True
    return mask


def _python_levenshtein():
    # Imported on demand: it is an optional extra, under the GPL.
    try:
        import Levenshtein as engine
    except ImportError as error:
        raise ImportError(
            "backend='python-levenshtein' needs the package python-Levenshtein (GPL-2.0-or-later), which is not "
            "installed; install it or use backend='rapidfuzz'"
        ) from error
    return engine
