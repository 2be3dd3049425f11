# SPDX-License-Identifier: Apache-2.0
"""Where a right and a wrong text part, in whole words."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from verl_df.method.alignment import align

Span = tuple[int, int]
"""Characters [start, end) of a text."""
# Every character belongs to a piece, so that the pieces joined are the text.
_PIECE = re.compile(r"\w+|\W")


@dataclass(frozen=True)
class Difference:
    """Characters of the right text, and those of the wrong one in their place; one of them may be empty."""

    right: Span
    wrong: Span


def differences(right: str, wrong: str) -> tuple[Difference, ...]:
    """The fewest words, blanks and signs that make one text of the other (Levenshtein), in their order."""
    rights, wrongs = _pieces(right), _pieces(wrong)
    numbers: dict[str, int] = {}
    ids = [
        [numbers.setdefault(text[start:end], len(numbers)) for start, end in spans]
        for text, spans in ((right, rights), (wrong, wrongs))
    ]
    matched = align(ids[1], ids[0]).matched
    pairs = [(int(of_wrong), of_right) for of_right, of_wrong in enumerate(matched) if of_wrong >= 0]
    found: list[Difference] = []
    next_right = next_wrong = 0
    for of_wrong, of_right in [*pairs, (len(wrongs), len(rights))]:
        if of_wrong > next_wrong or of_right > next_right:
            found.append(
                Difference(
                    _characters(rights, next_right, of_right, len(right)),
                    _characters(wrongs, next_wrong, of_wrong, len(wrong)),
                )
            )
        next_right, next_wrong = of_right + 1, of_wrong + 1
    return tuple(found)


def _pieces(text: str) -> list[Span]:
    return [piece.span() for piece in _PIECE.finditer(text)]


def _characters(pieces: Sequence[Span], start: int, end: int, length: int) -> Span:
    """The characters of pieces [start, end)."""
    first = pieces[start][0] if start < len(pieces) else length
    return first, pieces[end - 1][1] if end > start else first
