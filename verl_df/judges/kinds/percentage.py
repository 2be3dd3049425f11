# SPDX-License-Identifier: Apache-2.0
"""Percentages.

Recognises: 50%, 50 percent.
Compares: with another percentage as numbers; a number without the sign may be the number of percent (50) or the share
(0.5, 1/2).
Refuses: other units.
"""

from verl_df.judges.kinds import numbers
from verl_df.judges.kinds.outcome import Example

NAME = "percentage"
EXAMPLES = (
    Example(
        "50%", (r"50\%", "50 percent", "50％", "0.5", "1/2", "50", "50 per cent"), ("5%", "0.05", "0.5%", "5", "50 cm")
    ),
    Example("12.5%", ("12.5", "0.125", "1/8"), ("12%", "1.25", "125")),
)

read = numbers.reader(lambda truth: len(truth.parts) == 1 and truth.unit.is_percent)
compare = numbers.compare
