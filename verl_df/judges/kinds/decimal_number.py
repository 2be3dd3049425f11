# SPDX-License-Identifier: Apache-2.0
"""Numbers with decimals or a power of ten.

Recognises: 3.5, .5, 1.6\\times 10^{-19}, 1e-5.
Compares: exactly with other decimals, whatever their size; beside a fraction or an irrational number a decimal of at
least 6 digits may be its rounding.
Refuses: shorter roundings, and what `integer` refuses.
"""

from verl_df.judges.kinds import numbers
from verl_df.judges.kinds.outcome import Example

NAME = "decimal"
EXAMPLES = (
    Example(
        "3.5",
        ("3.50", "7/2", "3 1/2", r"3\frac{1}{2}", r"\approx 3.5", "about 3.5", "350%"),
        ("3.4", "35", "3,5", "-3.5"),
    ),
    Example(
        r"1.6\times 10^{-19}", ("1.6e-19", "1.60 × 10⁻¹⁹", r"16\cdot 10^{-20}"), (r"1.7\times 10^{-19}", "1.6", "0")
    ),
    Example("0.3333333", ("1/3",), ("0.33", "0.333333")),
)

read = numbers.reader(lambda truth: truth.bare and truth.number.decimal)
compare = numbers.compare
