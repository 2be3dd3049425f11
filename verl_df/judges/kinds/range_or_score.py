# SPDX-License-Identifier: Apache-2.0
"""Ranges, scores, and other pairs joined by a dash.

Recognises: 10-20, 1990–1995, 3-1, 20 to 30, between 20 and 30, 10-20 cm, 9:00-10:30.
Compares: both ends, in their order, and the unit.
Refuses: the difference (3-1 is no 2), and a pair with another separator (3:1).
"""

import re

from verl_df.judges.kinds.outcome import Example, Outcome, Same, doubt, right, wrong
from verl_df.judges.kinds.units import NONE, Unit, read_unit, same_unit

NAME = "range or score"
EXAMPLES = (
    Example(
        "10-20",
        ("10–20", "10 - 20", "10 to 20", "from 10 to 20", "between 10 and 20"),
        ("20-30", "-10", "20-10", "10", "10, 20", "[10, 20]"),
    ),
    Example("3-1", ("3–1",), ("2", "4-2", "1-3", "3:1", "3/1")),
    Example("2010-2012", ("2010—2012",), ("2011-2013", "-2", "2010")),
    Example("10-20 cm", ("10 - 20 cm", "10–20", "10 cm to 20 cm"), ("10-20 m", "10-30 cm")),
    Example("555-0123-4", ("555-0123-4",), ("428", "555-0123")),
)

_END = r"\$?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?::[0-5]\d)?"
_UNIT = r"(?:\s*(?:%|°[CF]?|[A-Za-z][A-Za-z ./^\d]*?))?"
_DASHED = re.compile(
    rf"(?P<low>{_END})(?P<low_unit>{_UNIT})\s*(?:-{{1,3}}|\\sim\b|~)\s*(?P<high>{_END})(?P<unit>{_UNIT})"
)
_WORDED = re.compile(rf"(?i)(?:from )?(?P<low>-?{_END})(?P<low_unit>{_UNIT}) to (?P<high>-?{_END})(?P<unit>{_UNIT})")
_BETWEEN = re.compile(rf"(?i)between (?P<low>-?{_END})(?P<low_unit>{_UNIT}) and (?P<high>-?{_END})(?P<unit>{_UNIT})")
_CHAIN = re.compile(r"\d+(?:\s*-\s*\d+){2,}")

Range = tuple[str, str, Unit]


def read(text: str) -> Range | None:
    """Both ends and the unit; of a longer chain (a number with dashes) the chain; None for anything else."""
    text = text.strip()
    if len(text) > 80:
        return None
    if _CHAIN.fullmatch(text):
        return re.sub(r"\s", "", text), "", NONE
    match = _DASHED.fullmatch(text) or _WORDED.fullmatch(text) or _BETWEEN.fullmatch(text)
    if match is None:
        return None
    unit, low_unit = (
        read_unit(text.strip(), attached=bool(text) and not text[0].isspace())
        for text in match.group("unit", "low_unit")
    )
    if unit is None or low_unit is None or not same_unit(unit, low_unit):
        return None
    return match["low"], match["high"], low_unit if unit.missing else unit


def compare(truth: Range, answer: str, same: Same) -> Outcome:
    """The same ends in the same order."""
    other = read(answer)
    if other is None:
        return doubt("another separator") if re.fullmatch(r"\d+\s*:\s*\d+", answer) else wrong("not a range")
    if not same_unit(truth[2], other[2]):
        return wrong("another unit")
    if truth[:2] == other[:2]:
        return right("the same ends")
    if "" in (truth[1], other[1]) or not all(
        same(one, two).right for one, two in zip(truth[:2], other[:2], strict=True)
    ):
        return wrong("other ends")
    return right("the same ends")
