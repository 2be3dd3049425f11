# SPDX-License-Identifier: Apache-2.0
"""Whole numbers, written out or as arithmetic.

Recognises: 12, -3, 1,234, 1 234, 10^5, 3^2 + 4^2, 4!, with thousands in groups of three.
Compares: as exact numbers, however they are written (12.0, 24/2, 1200%, 5 dozen); the answer may name a unit or, in
the plural, what is counted.
Refuses: 1, 234 (two numbers), 12,34, other words behind the number (6 less, 5 factorial is 120), letters behind it
(5a, 5M), comparisons (> 5), differences (10-20), and more than one number.
"""

from verl_df.judges.kinds import numbers
from verl_df.judges.kinds.outcome import Example

NAME = "integer"
EXAMPLES = (
    Example(
        "12",
        ("12", "12.0", "+12", "24/2", r"3\cdot 4", "x = 12", "12 cm", "12 apples", r"\sqrt{144}", "1 dozen"),
        ("13", "-12", "12 or 13", "12, 13", "12x", "12 thousand", "12 less", "10:12", r"\pm 12", "> 12", "12e1"),
    ),
    Example("1,234", ("1234", "1 234", "1{,}234", r"1\,234"), ("1, 234", "1,2,3,4", "12,34", "1.234", "234")),
    Example("10^5", ("100000", "100,000", "10⁵", r"1 \times 10^5", "1e5"), ("10", "5", "10^{-5}", "10^4", "50")),
    Example("5000", ("5k", "5 thousand", "5,000"), ("5", "5M", "5 hundred")),
    Example("-4", ("-2^2", "−4", "－4"), ("4", "(-2)^2", "2^2")),
)

read = numbers.reader(
    lambda truth: (
        truth.bare and truth.number.form in ("integer", "arithmetic") and truth.number.value == int(truth.number.value)
    )
)
compare = numbers.compare
