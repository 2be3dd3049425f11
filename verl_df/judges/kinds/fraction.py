# SPDX-License-Identifier: Apache-2.0
"""Fractions.

Recognises: 3/4, \\frac{3}{4}, ¾, and arithmetic whose value is no whole number (2^{-1}).
Compares: as exact numbers; 6/8, 75%, 0.75 and 3:4 are the same.
Refuses: what `integer` and `decimal` refuse, and 3/4/2020.
"""

from verl_df.judges.kinds import numbers
from verl_df.judges.kinds.outcome import Example

NAME = "fraction"
EXAMPLES = (
    Example(
        "3/4",
        (r"\frac{3}{4}", "6/8", "0.75", "75%", "¾", "3:4", "3 quarters", r"\tan A = 3/4"),
        ("4/3", "3", "34", "3/4/2020"),
    ),
    Example("1/3", ("0.333333", "⅓", "2/6"), ("0.33", "0.3334", "3", "1/3 + 1")),
    Example("21/4", ("5 1/4", "5.25"), ("2 1/4", "214", "2.14")),
    Example("5^{-1}", ("0.2", "1/5"), ("5", "-5", "0.5")),
)

read = numbers.reader(
    lambda truth: truth.bare and truth.number.form in ("fraction", "arithmetic") and truth.number.exact
)
compare = numbers.compare
