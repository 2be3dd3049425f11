# SPDX-License-Identifier: Apache-2.0
"""Times of day.

Recognises: 6:30, 06:30, 3:30 PM, 3 p.m., 9:45:10, with two digits for minutes below 60.
Compares: hour, minute, second; 15:30 is 3:30 PM.
Refuses: ratios and fractions of the same value (6:30 is no 2:10), and a time without AM or PM beside one with it.
"""

import re
from dataclasses import dataclass

from verl_df.judges.kinds.outcome import Example, Outcome, Same, doubt, right, wrong

NAME = "time of day"
EXAMPLES = (
    Example("6:30", ("6:30", "06:30", "6:30:00"), ("2:10", "6:31", "0.2", "6.5", "12:60", "5:90", "6", "6:30 AM")),
    Example("3:30 PM", ("3:30 p.m.", "15:30", "3:30pm"), ("3:30 AM", "3:30", "4:30 PM", "330")),
)

_TIME = re.compile(
    r"(?i)(?:at )?(?P<hour>\d{1,2})(?::(?P<minute>[0-5]\d)(?::(?P<second>[0-5]\d))?)?\s*"
    r"(?P<half>[ap]\.?\s?m\b\.?)?(?P<clock>\s*o'clock)?"
)


@dataclass(frozen=True)
class Time:
    """half: "a", "p", or None where it is not said."""

    hour: int
    minute: int
    second: int
    half: str | None

    @property
    def of_day(self) -> tuple[int, int, int] | None:
        """Of 24 hours; None where AM or PM is missing."""
        if self.half is None:
            return (self.hour, self.minute, self.second) if self.hour > 12 or self.hour == 0 else None
        return (self.hour % 12 + (12 if self.half == "p" else 0), self.minute, self.second)


def read(text: str) -> Time | None:
    """A time with minutes, AM or PM, or o'clock; None for anything else."""
    match = _TIME.fullmatch(text.strip())
    if match is None or not (match["minute"] or match["half"] or match["clock"]) or int(match["hour"]) > 24:
        return None
    if match["half"] and not 1 <= int(match["hour"]) <= 12:
        return None
    half = match["half"][0].lower() if match["half"] else None
    return Time(int(match["hour"]), int(match["minute"] or 0), int(match["second"] or 0), half)


def compare(truth: Time, answer: str, same: Same) -> Outcome:
    """The same time of day."""
    other = read(answer)
    if other is None:
        return wrong("not a time of day")
    if truth == other or (truth.of_day is not None and truth.of_day == other.of_day):
        return right("the same time")
    if (truth.hour % 12, truth.minute, truth.second) == (other.hour % 12, other.minute, other.second):
        return doubt("AM or PM is missing") if truth.of_day is None or other.of_day is None else wrong("another time")
    return wrong("another time")
