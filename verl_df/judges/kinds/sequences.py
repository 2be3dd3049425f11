# SPDX-License-Identifier: Apache-2.0
"""Several values in one text: (1,2), \\{1,2\\}, [1,2), 1 and 2."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from verl_df.judges.kinds import expression, labels
from verl_df.judges.kinds.outcome import Same
from verl_df.judges.kinds.quantities import read_quantities

MAX_PARTS = 24
_BRACKETS = (
    (r"\{", r"\}"),
    (r"\langle", r"\rangle"),
    (r"\lbrace", r"\rbrace"),
    ("(", ")"),
    ("[", "]"),
    ("{", "}"),
    ("(", "]"),
    ("[", ")"),
)
_WORDS = re.compile(r"(?i),?\s+(?:and|or)\s+|\s*;\s*|\s*\\(?:text|mathrm)\{\s*(?:and|or)\s*\}\s*")
_PLUS_MINUS = re.compile(r"\\pm\s*")


@dataclass(frozen=True)
class Values:
    """brackets: the opening and the closing one, in one spelling, both "" without any; parts: the texts between."""

    brackets: tuple[str, str]
    parts: tuple[str, ...]


def read_sequence(text: str) -> Values | None:
    """A text in brackets with commas, or a bare list of at least two values; None for anything else."""
    text = text.strip()
    for opening, closing in _BRACKETS:
        inside = text[len(opening) : -len(closing)]
        if text.startswith(opening) and text.endswith(closing) and _closes_at_end(text, opening):
            opening, closing = (r"\{", r"\}") if opening in ("{", r"\lbrace") else (opening, closing)
            parts = split(inside)
            if len(parts) > MAX_PARTS or not all(parts):
                return None if inside.strip() else Values((opening, closing), ())
            return Values((opening, closing), parts)
    parts = tuple(_expanded(split(_WORDS.sub(", ", text))))
    if not 2 <= len(parts) <= MAX_PARTS or not all(map(_is_value, parts)):
        return None
    return Values(("", ""), parts)


def split(text: str) -> tuple[str, ...]:
    """The parts between the commas outside brackets; 1,234 is one part only where every comma is one of thousands."""
    if re.fullmatch(r"-?\d{1,3}(?:,\d{3})+(?:\.\d+)?", text.strip()):
        return (text.strip(),)
    parts, depth, last = [], 0, 0
    for position, character in enumerate(text):
        depth += (character in "([{") - (character in ")]}")
        if character == "," and depth == 0:
            parts.append(text[last:position].strip())
            last = position + 1
    return (*parts, text[last:].strip())


def in_order(truths: Sequence[str], answers: Sequence[str], same: Same) -> bool:
    """Whether each part is the same as the one at its place."""
    return len(truths) == len(answers) and all(same(one, two).right for one, two in zip(truths, answers, strict=True))


def in_any_order(truths: Sequence[str], answers: Sequence[str], same: Same) -> bool:
    """Whether the parts are the same in some order."""
    left = list(answers)
    for truth in truths:
        found = next((place for place, answer in enumerate(left) if same(truth, answer).right), None)
        if found is None:
            return False
        del left[found]
    return not left


def _expanded(parts: Sequence[str]) -> list[str]:
    """x = 1 or 2 names x twice; plus or minus stands for two values."""
    found: list[str] = []
    for part in parts:
        if _PLUS_MINUS.search(part) and len(_PLUS_MINUS.findall(part)) == 1:
            found += [
                _PLUS_MINUS.sub("" if part.lstrip().startswith("\\pm") or "=" in part else "+", part),
                _PLUS_MINUS.sub("-", part),
            ]
        else:
            found.append(part)
    return found


def _is_value(text: str) -> bool:
    return bool(text) and (
        expression.is_mathematical(text) or bool(read_quantities(text)) or (len(labels.pieces(text)) > 1)
    )


def _closes_at_end(text: str, opening: str) -> bool:
    """Whether the bracket that opens the text is closed by its last character, and not before."""
    depth = 0
    for position, character in enumerate(text):
        depth += (character in "([{") - (character in ")]}")
        if depth == 0 and position + 1 < len(text) and position + 1 >= len(opening):
            return False
    return True
