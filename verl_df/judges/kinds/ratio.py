# SPDX-License-Identifier: Apache-2.0
"""Ratios.

Recognises: 2:3, 1:2:5, 1.5 : 2; not what looks like a time of day (1:10).
Compares: as proportions; 4:6 and 2/3 are 2:3.
Refuses: 3:2, times of day, and a single whole number.
"""

import re
from fractions import Fraction

from verl_df.judges.kinds import time_of_day
from verl_df.judges.kinds.outcome import Example, Outcome, Same, doubt, right, wrong

NAME = "ratio"
EXAMPLES = (
    Example("2:3", ("4:6", "2 : 3", "2/3", r"\frac{2}{3}", "2 to 3"), ("3:2", "2", "23", "2:4", "0.67")),
    Example("1:2:5", ("2:4:10",), ("1:2", "5:2:1", "1/2")),
    Example("16:9", ("16 : 9", "32:18", "16/9"), ("9:16", "16:10")),
)

_TERM = r"\d+(?:\.\d+)?"
_RATIO = re.compile(rf"{_TERM}(?:\s*(?::|\\colon)\s*{_TERM})+")
_WORDED = re.compile(rf"(?P<left>{_TERM}) to (?P<right>{_TERM})")
_SLASH = re.compile(rf"(?P<left>{_TERM}) ?/ ?(?P<right>{_TERM})")
_FRACTION = re.compile(r"\\frac\{(?P<left>\d+)\}\{(?P<right>\d+)\}")


def read(text: str) -> tuple[Fraction, ...] | None:
    """The terms; None for anything else, and for what may be a time."""
    text = text.strip()
    if len(text) > 80 or _RATIO.fullmatch(text) is None or time_of_day.read(text) is not None:
        return None
    terms = tuple(Fraction(term) for term in re.findall(_TERM, text))
    return terms if any(terms) else None


def as_fraction(terms: tuple[Fraction, ...]) -> Fraction | None:
    """Of two terms their quotient."""
    return terms[0] / terms[1] if len(terms) == 2 and terms[1] else None


def compare(truth: tuple[Fraction, ...], answer: str, same: Same) -> Outcome:
    """The same proportion."""
    other = read(answer) or _other_form(answer)
    if other is None:
        return doubt("a time of day, or a ratio") if time_of_day.read(answer) else wrong("not a ratio")
    if len(other) != len(truth):
        return wrong("another number of terms")
    pivot = next(place for place, term in enumerate(truth) if term)
    same_share = all(truth[pivot] * two == other[pivot] * one for one, two in zip(truth, other, strict=True))
    return right("the same proportion") if same_share and other[pivot] else wrong("another proportion")


def _other_form(answer: str) -> tuple[Fraction, ...] | None:
    match = _WORDED.fullmatch(answer) or _SLASH.fullmatch(answer) or _FRACTION.fullmatch(answer)
    return (Fraction(match["left"]), Fraction(match["right"])) if match else None
