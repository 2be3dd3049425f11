# SPDX-License-Identifier: Apache-2.0
"""One value with its name, or several.

Recognises: x = 5, \\angle A = 45°, x = 3, y = 4.
Compares: the values of the same names, in any order; one value may come without its name; (3,4) is x = 3, y = 4 where
the names are single letters in the order of the alphabet.
Refuses: another name, other orders, equations that only restrict a name (2x = 10).
"""

import re

from verl_df.judges.kinds import labels
from verl_df.judges.kinds.outcome import Example, Outcome, Same, right, wrong
from verl_df.judges.kinds.sequences import in_order, read_sequence

NAME = "assignment"
EXAMPLES = (
    Example("x=5", ("5", "x = 5", "x = 10/2", "x = 5 cm"), ("y=5", "x=6", "x>5", "2x = 5", "-5", r"x \ne 5")),
    Example(
        "x=3, y=4",
        ("y=4, x=3", "(3,4)", "x=3 and y=4", "3, 4"),
        ("x=4, y=3", "(4,3)", "4,3", "x=3", "3", "x=3, y=4, z=5"),
    ),
    Example("a=3, b=4", ("b = 4, a = 3",), ("4, 3", "a=3", "b=3, a=4")),
    Example("y = 2x", ("y=2x", "2x", r"y = 2\cdot x"), ("y = 2", "x = 2y", "y = 3x", "2")),
)


def read(text: str, same: Same | None = None) -> dict[str, str] | None:
    """Name to value; None where a part is no assignment, or a name comes twice."""
    parts = _parts(text)
    found = dict(pair for part in parts if (pair := labels.labelled(part, same or _never)) is not None)
    return found if parts and len(found) == len(parts) else None


def by_name(text: str, same: Same) -> list[str] | None:
    """The values of several assignments in the order of their names, which are single letters; else None."""
    found = read(text, same)
    if found is None or len(found) < 2 or not all(re.fullmatch("[A-Za-z]", name) for name in found):
        return None
    return [found[name] for name in sorted(found)]


def compare(truth: dict[str, str], answer: str, same: Same) -> Outcome:
    """By name."""
    other = read(answer, same)
    if len(truth) == 1:
        (name, value), *_ = truth.items()
        if other is None:
            return same(value, answer)
        if len(other) == 1 and name in other:
            return same(value, other[name])
        return wrong("another name")
    if other is not None:
        alike = truth.keys() == other.keys() and all(same(truth[name], other[name]).right for name in truth)
        return right("the same values by name") if alike else wrong("other names or values")
    values = [truth[name] for name in sorted(truth)]
    listed = read_sequence(answer)
    if listed is None or listed.brackets not in (("(", ")"), ("", "")):
        return wrong("no values by name")
    if all(re.fullmatch("[A-Za-z]", name) for name in truth) and in_order(values, listed.parts, same):
        return right("the same values in the order of the names")
    return wrong("other values, or another order")


def _parts(text: str) -> tuple[str, ...]:
    listed = read_sequence(text) if "=" in text else None
    return listed.parts if listed is not None and listed.brackets == ("", "") else (text,)


def _never(truth: str, answer: str) -> Outcome:
    return wrong("not looked at")
