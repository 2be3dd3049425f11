# SPDX-License-Identifier: Apache-2.0
"""Everything that no other kind claims.

Recognises: any text.
Compares: letter by letter, without regard to capitals, repeated blanks, quotation marks and emphasis around it.
Refuses: anything else, and any answer of more than 1,000 characters that is not the truth itself.
"""

import re

from verl_df.judges.kinds.outcome import Example, Outcome, Same, right, wrong

NAME = "text"
EXAMPLES = (
    Example(
        "Paris", ("paris", "Paris.", r"\text{Paris}", "**Paris**", '"Paris"'), ("London", "Paris, London", "Par is", "")
    ),
    Example("x-ray (act)", ("X-ray  (act)",), ("x-ray (cat)", "xray (act)")),
    Example("cat", ("Cat",), ("tac", "act", "cats")),
    Example("yes", ("Yes", "**yes**"), ("no", "yes and no", "maybe")),
)


def read(text: str) -> str:
    """The text, plain."""
    return re.sub(r"\s+", " ", text).strip("\"'*_ ").casefold()


def compare(truth: str, answer: str, same: Same) -> Outcome:
    """The same letters."""
    return right("the same text") if read(answer) == truth else wrong("another text")
