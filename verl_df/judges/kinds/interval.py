# SPDX-License-Identifier: Apache-2.0
"""Intervals, their unions, and inequalities.

Recognises: [1,2), (3,\\infty), (-\\infty,1)\\cup(2,3], x > 3, 1 < x \\le 2; (1,2) alone is a tuple.
Compares: both ends and brackets; inequalities and unions by math-verify.
Refuses: open for closed ends.
"""

import re

from verl_df.judges import expressions
from verl_df.judges.kinds import expression
from verl_df.judges.kinds.outcome import Example, Outcome, Same, right, wrong
from verl_df.judges.kinds.sequences import Values, in_order, read_sequence

NAME = "interval"
EXAMPLES = (
    Example("[1,2)", ("[1, 2)", r"\left[1, 2\right)", r"x \in [1,2)"), ("[1,2]", "(1,2)", "[1,3)", "1")),
    Example(r"(3,\infty)", ("(3, ∞)", r"(3, +\infty)", "x > 3"), (r"[3,\infty)", r"(2,\infty)", "x < 3", "3")),
    Example("x > 3", ("x>3", r"(3,\infty)", "3 < x"), ("x < 3", r"x \ge 3", "y > 3", "3", "x = 3")),
    Example(r"(-\infty,1)\cup(2,\infty)", (r"(2,\infty)\cup(-\infty,1)",), (r"(-\infty,1]\cup(2,\infty)", r"(1,2)")),
)

_IN = re.compile(r"^\s*[A-Za-z]\s*\\in\s*")
_INEQUALITY = re.compile(r"[<>]|\\(?:le|ge|lt|gt)(?![A-Za-z])")


def read(text: str) -> str | None:
    """The text itself where it is an interval, a union, or an inequality."""
    text = _IN.sub("", text)
    found = read_sequence(text)
    half_open = found is not None and found.brackets in (("(", "]"), ("[", ")"))
    endless = found is not None and len(found.parts) == 2 and "\\infty" in text and found.brackets[0] in ("(", "[")
    if half_open or endless or (r"\cup" in text and expression.is_mathematical(text)):
        return text
    return text if _INEQUALITY.search(text) and expression.is_mathematical(text) and "," not in text else None


def compare(truth: str, answer: str, same: Same) -> Outcome:
    """Ends and brackets, else algebra."""
    answer = _IN.sub("", answer)
    ours, theirs = (read_sequence(_infinity(text)) for text in (truth, answer))
    if isinstance(ours, Values) and isinstance(theirs, Values):
        if ours.brackets != theirs.brackets:
            return wrong("other brackets")
        return right("the same interval") if in_order(ours.parts, theirs.parts, same) else wrong("other ends")
    if isinstance(theirs, Values) and len(theirs.parts) == 2 and theirs.brackets[0] in ("(", "["):
        found = expressions.equal(truth, answer)
        return right("math-verify finds the same interval") if found else wrong("another interval")
    if read(answer) is None:
        return wrong("not an interval")
    return expression.compare(truth, answer, same)


def _infinity(text: str) -> str:
    return re.sub(r"\+\s*\\infty", r"\\infty", text)
