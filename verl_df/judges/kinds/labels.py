# SPDX-License-Identifier: Apache-2.0
"""Labels before a value: x = 5, \\angle ABC = 45°, The area = 5, AB = CD = 5."""

import re

from verl_df.judges.kinds.arithmetic import read_number
from verl_df.judges.kinds.number import rounds_to
from verl_df.judges.kinds.outcome import Same

_EQUALS = re.compile(r"(?<![<>!:=\\])=(?!=)|\\approx(?![A-Za-z])")
_COMMAND = r"\\[A-Za-z]+(?:\s*\{[^{}=<>]*\})*"
_SUBSCRIPT = r"_\s*(?:\{[^{}=<>]*\}|\w)"
_RAISED = r"\^\s*(?:\{\s*\\(?:circ|prime)\s*\}|\\circ)"
_PIECE = rf"(?:{_COMMAND}|[A-Za-zΑ-ωΔ∆]+'*|{_SUBSCRIPT}|\([^()=<>]*\)|°|{_RAISED})"
_NAME = re.compile(rf"\|?\s*{_PIECE}(?:\s*{_PIECE}|(?<=[A-Za-z])\s*\d{{1,3}}(?=°|$))*\s*\|?")
_FUNCTION_OF = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc|log|ln)\s*\(?\s*\d+\s*°?\s*\)?")
_OPERATOR = re.compile(r"\\(?:times|cdot|div|pm|mp|ne|le|ge|lt|gt|in|frac|sqrt|cup|cap|to|infty|pi)(?![A-Za-z])")
_DENIED = re.compile(r"(?i)\b(?:not|no|or|and|than|least|most|except|if|unless|never|isn't)\b")


def pieces(text: str) -> list[str]:
    """The sides of a chain of equations, outside brackets."""
    sides, depth, last = [], 0, 0
    places = {match.start(): match.end() for match in _EQUALS.finditer(text)}
    for position, character in enumerate(text):
        depth += (character in "([{") - (character in ")]}")
        if depth <= 0 and position in places and position >= last:
            sides.append(text[last:position].strip())
            last = places[position]
    return [*sides, text[last:].strip()]


def is_name(text: str) -> bool:
    """Whether a side of an equation only names a value: a variable, an angle, f(2), the area; no arithmetic of them."""
    if not text or len(text) > 60 or _OPERATOR.search(text) or _DENIED.search(text):
        return False
    if _FUNCTION_OF.fullmatch(text):
        return True
    return _NAME.fullmatch(text) is not None and re.search(r"[A-Za-zΑ-ω]", text) is not None


def labelled(text: str, same: Same) -> tuple[str, str] | None:
    """Name and value of x = 5; of a chain the last value, where every other side is a name or equal to it.

    None for a text that is no label with a value.
    """
    sides = pieces(text)
    value = sides[-1]
    if len(sides) < 2 or not value or not is_name(sides[0]):
        return None
    if all(is_name(side) or same(value, side).right for side in sides[1:-1]):
        return re.sub(r"\s|\\(?:,|;)", "", sides[0]), value
    return None


def values_of(text: str, same: Same) -> list[str]:
    """The values of an answer with or without a label: 2 + 3 = 5 and x = 10/2 = 5 are 5; none where they differ.

    A text without an equation is its own value; an equation that only restricts a name (2x = 10) has none. A number and
    its rounding (\\sqrt{2} \\approx 1.41) are two values of one answer.
    """
    sides = pieces(text)
    if len(sides) == 1:
        return [text]
    value, rest = sides[-1], sides[:-1]
    if not value:
        return []
    about = read_number(rest[-1]), read_number(value)
    if (
        "\\approx" in text
        and about[0]
        and about[1]
        and not about[0][1].strip()
        and rounds_to(about[1][0], about[0][0].value)
    ):
        return [rest[-1], value] if all(map(is_name, rest[:-1])) else []
    return [value] if all(is_name(side) or same(value, side).right for side in rest) else []
