# SPDX-License-Identifier: Apache-2.0
"""Mixed numbers.

Recognises: 3 1/2, 3\\frac{1}{2}, 3½; the fraction must be less than 1.
Compares: as exact numbers.
Refuses: 31/2, and 3\\frac{5}{2}, which may be a product.
"""

from verl_df.judges.kinds import numbers
from verl_df.judges.kinds.outcome import Example

NAME = "mixed number"
EXAMPLES = (
    Example("3 1/2", ("3.5", "7/2", r"3\frac{1}{2}", "3½", "350%"), ("31/2", "3 1/4", "1/2", "3", "3 5/2")),
    Example("-1 1/2", ("-1.5", r"-\frac{3}{2}"), ("1.5", "-0.5", "-11/2")),
)

read = numbers.reader(lambda truth: truth.bare and truth.number.form == "mixed number")
compare = numbers.compare
