# SPDX-License-Identifier: Apache-2.0
"""What a rule says of a response, and answers that are marked as such."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from verl_df.judges.answer_text import final_answers, last_boxed, normalise
from verl_df.judges.final_answer import is_mathematical
from verl_df.judges.quantities import read_quantity

_TAG = re.compile(r"<answer>.*?</answer>", re.DOTALL | re.IGNORECASE)
_ENDS = (re.compile(r".*\bis\b\s*:?\s*(.+)"), re.compile(r".*=\s*(.+)"))


@dataclass(frozen=True)
class Verdict:
    """A rule's verdict on a response.

    Attributes:
        extracted: the answer that was read, None where none was found.
        right: whether it is the right one.
    """

    extracted: str | None
    right: bool


Rule = Callable[[str, str, Mapping[str, Any]], Verdict]
"""From a response, the ground truth and the row's extra_info to a verdict. Raises: ValueError for keys that lack."""


def marked_answer(response: str) -> str | None:
    """What the response itself marks as its answer, normalised: the last `\\boxed{}`, else the last `<answer>` tag."""
    if last_boxed(response) is None and not _TAG.search(response):
        return None
    return spelled(final_answers(response)[0])


def spelled(text: str) -> str:
    """`answer_text.normalise`, and 2√{3}, as MathVerse's options are written, in its spelling too."""
    return normalise(text.replace("√{", r"\sqrt{"))


def readings(response: str) -> list[str]:
    """Normalised readings of the answer, the likeliest first; [] where there is none.

    `answer_text.final_answers`; but of a response that announces no answer what follows the last "is", or else "=", of
    its last line, if that is a quantity, or mathematics with a digit: "The missing number is 14." (MathVision's rule in
    lmms-eval does so for numbers).
    """
    found = final_answers(response)
    bare = response.strip()
    if found in ([], [bare]) and marked_answer(response) is None:
        for end in _ENDS:
            match = end.fullmatch(bare.rpartition("\n")[2])
            tail = spelled(match[1]) if match else ""
            if read_quantity(tail) is not None or (re.search(r"\d", tail) and is_mathematical(tail)):
                return [tail]
    return [text for text in dict.fromkeys(map(spelled, found)) if text]


def field(extra_info: Mapping[str, Any], name: str, benchmark: str) -> Any:
    """A key of extra_info that the rule needs. Raises: ValueError where it is missing."""
    if extra_info.get(name) is None:
        raise ValueError(f"extra_info has no {name!r}, which the rule of {benchmark} needs: convert the data again")
    return extra_info[name]
