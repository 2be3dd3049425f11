# SPDX-License-Identifier: Apache-2.0
"""The letter of an option.

Recognises: B, (B), B., and B. 4 cm, a letter with its text.
Compares: the one option that the answer names, by its letter, its text, or both; a letter with its own text is right
whatever the other options say.
Refuses: more than one option (A or B, (B) (C), B: A, B, C, D), and a letter beside the text of another option.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from verl_df.judges.kinds.options import LETTERS, named_letter, named_option
from verl_df.judges.kinds.outcome import Example, Outcome, Same, doubt, right, wrong

NAME = "choice letter"
_FOUR = ("3 cm", "4 cm", "5 cm", "6 cm")
EXAMPLES = (
    Example(
        "B",
        ("B", "(B)", "B.", "b", "option B", "B. 4 cm", r"\text{(B)}", "(B) 4 cm"),
        ("C", "A or B", "(B) (C)", "B. C.", "B, C", "BC", "4 cm", "(B)(C)", "B or C", "not B", ""),
    ),
    Example(
        "B",
        ("B", "4 cm", "B. 4 cm", "(B) four", "4"),
        ("A", "3 cm", "B. 3 cm", "A. 4 cm", "B: A, B, C, D", "(B) 4 cm or (C) 5 cm", "(B) nor (C)", "B) C) D)", "7 cm"),
        _FOUR,
    ),
    Example("B", ("B. 20-30", "20-30", "B", "20 to 30"), ("10-20", "B. 30-40"), ("10-20", "20-30", "30-40", "40-50")),
    Example("B", ("B. 0.5", "0.5"), ("A", "50%", "50"), ("50%", "0.5", "5", "50")),
    Example("B", ("B. A", "B"), ("A", "C", "B. C"), ("B", "A", "D", "C")),
    Example("B. 4 cm", ("B", "4 cm", "B. 4 cm"), ("A", "5 cm", "B. 5 cm", "A. 4 cm", "B or C")),
)

_ALONE = re.compile(r"\(?([A-Z])\)?\.?")
_WITH_TEXT = re.compile(r"(?:\(([A-H])\)\s*[.:]?|([A-H])\s*[.:)])\s+(\S.*)", re.DOTALL)


@dataclass(frozen=True)
class Letter:
    """letter: of the right option; text: its own, "" where the truth has none."""

    letter: str
    text: str = ""


def read(text: str) -> Letter | None:
    """One capital letter, alone or in front of the option's text."""
    alone, with_text = _ALONE.fullmatch(text.strip()), _WITH_TEXT.fullmatch(text.strip())
    if alone is not None:
        return Letter(alone[1])
    return Letter(with_text[1] or with_text[2], with_text[3]) if with_text else None


def compare(truth: Letter, answer: str, same: Same, options: Mapping[str, str] | None = None) -> Outcome:
    """The option that the answer names."""
    if options:
        named = named_option(answer, options, same)
    elif truth.text:
        named = named_option(answer, dict.fromkeys(LETTERS, "") | {truth.letter: truth.text}, same)
        if named.letter == truth.letter and named.why == "the letter" and len(answer) > len("(B)."):
            return doubt("the letter beside another text")
    else:
        named = named_letter(answer, LETTERS + truth.letter)
    if named.letter == truth.letter:
        return right(named.why)
    why = f"names {named.letter}" if named.letter else named.why
    return doubt(why) if named.doubtful else wrong(why)
