# SPDX-License-Identifier: Apache-2.0
"""Ordered values: points, pairs, vectors, lists in square brackets.

Recognises: (1,2), [1,2,3], \\langle 1,2\\rangle.
Compares: part by part, in order, with the same brackets; x = 1, y = 2 and a bare 1, 2 in this order are (1,2).
Refuses: a set of the same values, other brackets, another order.
"""

from verl_df.judges.kinds import assignments
from verl_df.judges.kinds.outcome import Example, Outcome, Same, doubt, right, wrong
from verl_df.judges.kinds.sequences import Values, in_order, read_sequence

NAME = "tuple"
EXAMPLES = (
    Example(
        "(1,2)",
        ("(1, 2)", "（1，2）", "y=2, x=1", r"\left(1,2\right)", "(2/2, 2.0)"),
        ("(2,1)", r"\{1,2\}", "[1,2]", "(1,2,3)", "y=1, x=2", "12", "1.2"),
    ),
    Example("[1,2,3]", ("[1, 2, 3]",), ("(1,2,3)", r"\{1,2,3\}", "[3,2,1]")),
    Example(r"(\sqrt{2}, 0.5)", (r"(\sqrt{2}, \frac{1}{2})",), (r"(\sqrt{3}, 0.5)", r"(0.5, \sqrt{2})")),
)


def read(text: str) -> Values | None:
    """Values in round, square or angle brackets."""
    found = read_sequence(text)
    if (
        found is None
        or len(found.parts) < 2
        or found.brackets not in (("(", ")"), ("[", "]"), (r"\langle", r"\rangle"))
    ):
        return None
    return found


def compare(truth: Values, answer: str, same: Same) -> Outcome:
    """Part by part."""
    values = assignments.by_name(answer, same)
    if values is not None and truth.brackets == ("(", ")"):
        return (
            right("the same values by name") if in_order(truth.parts, values, same) else wrong("other values by name")
        )
    other = read_sequence(answer)
    if other is None:
        return wrong("not a tuple")
    if other.brackets == ("", ""):
        if in_order(truth.parts, other.parts, same):
            return right("the same values in order, without brackets")
        return (
            doubt("a list without brackets, in another order")
            if len(other.parts) == len(truth.parts)
            else wrong("other values")
        )
    if other.brackets != truth.brackets:
        return wrong("other brackets")
    return right("the same values in order") if in_order(truth.parts, other.parts, same) else wrong("other values")
