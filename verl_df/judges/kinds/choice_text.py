# SPDX-License-Identifier: Apache-2.0
"""The text of one of the options.

Recognises: a truth that is the text of exactly one option, where the question has options.
Compares: as `choice letter`.
Refuses: as `choice letter`.
"""

from collections.abc import Mapping

from verl_df.judges.kinds.options import options_with
from verl_df.judges.kinds.outcome import Example, Same

NAME = "choice text"
EXAMPLES = (
    Example(
        "15 cm",
        ("B", "15 cm", "15", "B. 15 cm"),
        ("A", "12 cm", "C", "A. 15 cm", "A or B"),
        ("12 cm", "15 cm", "a cat"),
    ),
    Example("20-30", ("B", "20-30", "(B) 20-30"), ("10-20", "A", "C"), ("10-20", "20-30", "30-40")),
)


def read(text: str, options: Mapping[str, str], same: Same) -> str | None:
    """The letter of the option; None where none or several have this text."""
    found = options_with(text, options, same)
    return found.pop() if len(found) == 1 else None
