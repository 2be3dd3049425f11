# SPDX-License-Identifier: Apache-2.0
"""Dates.

Recognises: 2024-05-01, 3/4/2020, May 1, 2024, 1 May 2024, May 2024.
Compares: year, month and day.
Refuses: arithmetic of the same digits, and 3/4/2020 beside a name of a month, which may be of March or April.
"""

import re
from dataclasses import dataclass

from verl_df.judges.kinds.outcome import Example, Outcome, Same, doubt, right, wrong

NAME = "date"
EXAMPLES = (
    Example(
        "2024-05-01",
        ("2024/5/1", "May 1, 2024", "1 May 2024", "1st of May 2024"),
        ("2024-04-02", "2018", "2024", "2024-05", "05/01/2024"),
    ),
    Example("3/4/2020", ("03/04/2020", "3.4.2020"), ("3/8/1010", "4/3/2020", "March 4, 2020", "3/8080")),
    Example("May 2024", ("may 2024",), ("2024", "May", "May 1, 2024", "June 2024")),
)

_MONTHS = "january february march april may june july august september october november december".split()
_NAMES = {name[:length]: number for number, name in enumerate(_MONTHS, 1) for length in (3, len(name))} | {"sept": 9}
_MONTH = rf"(?P<month>{'|'.join(sorted(_NAMES, key=len, reverse=True))})\.?"
_ISO = re.compile(r"(?P<year>\d{4})([-/.])(?P<month>\d{1,2})\2(?P<day>\d{1,2})")
_NUMBERS = re.compile(r"(?P<first>\d{1,2})([-/.])(?P<second>\d{1,2})\2(?P<year>\d{4}|\d{2})")
_WORDS = (
    re.compile(rf"(?i){_MONTH} (?P<day>\d{{1,2}})(?:st|nd|rd|th)?(?:,? (?P<year>\d{{4}}))?"),
    re.compile(rf"(?i)(?:the )?(?P<day>\d{{1,2}})(?:st|nd|rd|th)? (?:of )?{_MONTH}(?:,? (?P<year>\d{{4}}))?"),
    re.compile(rf"(?i){_MONTH},? (?P<year>\d{{4}})(?P<day>)"),
)


@dataclass(frozen=True)
class Date:
    """day, month: in the order that is written where `ordered` is false. Parts that are not said are None."""

    year: int | None
    month: int
    day: int | None
    ordered: bool = True


def read(text: str) -> Date | None:
    """A date; None for anything else, or one that no calendar has."""
    text = text.strip()
    iso, numbers = _ISO.fullmatch(text), _NUMBERS.fullmatch(text)
    if iso is not None:
        return _checked(Date(int(iso["year"]), int(iso["month"]), int(iso["day"])))
    if numbers is not None:
        first, second, year = int(numbers["first"]), int(numbers["second"]), int(numbers["year"])
        if first > 12 or (second > 12 and numbers[2] == "/"):
            day, month = (first, second) if first > 12 else (second, first)
            return _checked(Date(year, month, day))
        return Date(year, first, second, ordered=False)
    for pattern in _WORDS:
        match = pattern.fullmatch(text)
        if match is not None:
            said = {name: int(match[name]) if match[name] else None for name in ("year", "day")}
            return _checked(Date(said["year"], _NAMES[match["month"].lower()], said["day"]))
    return None


def compare(truth: Date, answer: str, same: Same) -> Outcome:
    """The same day."""
    other = read(answer)
    if other is None:
        return wrong("not a date")
    if truth == other:
        return right("the same date")
    parts = {truth.month, truth.day} == {other.month, other.day}
    if truth.ordered != other.ordered and truth.year == other.year and parts:
        return doubt("day and month may be in either order")
    return wrong("another date")


def _checked(date: Date) -> Date | None:
    return date if 1 <= date.month <= 12 and (date.day is None or 1 <= date.day <= 31) else None
