# SPDX-License-Identifier: Apache-2.0
"""Values without an order.

Recognises: \\{1,2\\}, {1,2}, and lists without brackets: 12, 345 or 2 and 3, x = 1 or x = 2, \\pm 2.
Compares: as sets, in any order.
Refuses: a tuple of the values of a set in braces, more or fewer values, 12,345 for 12, 345.
"""

from verl_df.judges.kinds import labels
from verl_df.judges.kinds.outcome import Example, Outcome, Same, doubt, right, wrong
from verl_df.judges.kinds.sequences import Values, in_any_order, in_order, read_sequence

NAME = "set"
EXAMPLES = (
    Example(
        r"\{1,2\}", (r"\{2,1\}", "{1, 2}", "2, 1", "1 and 2"), ("(1,2)", "[1,2]", r"\{1\}", r"\{1,2,3\}", "12", "1")
    ),
    Example("12, 345", ("345, 12", "12 and 345", r"\{345, 12\}"), ("12,345", "12345", "12", "(345, 12)", "12, 346")),
    Example("x = 1 or x = 2", ("2, 1", "x=2, x=1", "x = 1, 2"), ("x = 1", "1, 3", "y = 1 or y = 2", "x = 12")),
    Example(r"\pm 3", ("3, -3", r"x = \pm 3"), ("3", "-3", "6")),
)


def read(text: str) -> Values | None:
    """Values in braces, or at least two without brackets that are not each named otherwise."""
    found = read_sequence(text)
    if found is None or found.brackets not in ((r"\{", r"\}"), ("", "")):
        return None
    return found


def compare(truth: Values, answer: str, same: Same) -> Outcome:
    """In any order."""
    other = read_sequence(answer)
    if other is None:
        return wrong("not a set")
    if other.brackets in (("", ""), (r"\{", r"\}")):
        truths, answers = _unnamed(truth, other, same)
        return right("the same values") if in_any_order(truths, answers, same) else wrong("other values")
    if truth.brackets == ("", ""):
        return (
            right("the same values, in order") if in_order(truth.parts, other.parts, same) else doubt("an ordered list")
        )
    return wrong("a tuple")


def _unnamed(truth: Values, other: Values, same: Same) -> tuple[list[str], list[str]]:
    """The parts of both, without names where one has none, or the same one throughout."""
    names, values = zip(*(_named(part, same) for part in truth.parts), strict=True) if truth.parts else ((), ())
    other_names, others = zip(*(_named(part, same) for part in other.parts), strict=True) if other.parts else ((), ())
    both = set(names) | set(other_names)
    if len(both - {""}) <= 1:
        return list(values), list(others)
    return list(truth.parts), list(other.parts)


def _named(part: str, same: Same) -> tuple[str, str]:
    return labels.labelled(part, same) or ("", part)
