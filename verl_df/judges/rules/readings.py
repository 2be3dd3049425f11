# SPDX-License-Identifier: Apache-2.0
"""What a rule says of a response, and answers that are marked as such."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from verl_df.judges import reading
from verl_df.judges.kinds.expression import is_mathematical
from verl_df.judges.kinds.quantities import read_quantities
from verl_df.judges.spelling import spelled
from verl_df.judges.verdict import Verdict

_ENDS = (re.compile(r".*\bis\b\s*:?\s*(.+)"), re.compile(r".*=\s*(.+)"))
# Of a last line without a mark; a longer one is prose.
_MAX_LINE = 1000

Rule = Callable[[str, str, Mapping[str, Any]], Verdict]
"""From a response, the ground truth and the row's extra_info to a verdict. Raises: ValueError for keys that lack."""


def marked_answer(response: str) -> str | None:
    """What the response itself marks as its answer, in our spelling; None where it marks none."""
    marked = reading.marked_answer(response)
    return None if marked is None else spelled(marked)


def readings(response: str) -> list[str]:
    """Readings of the answer in our spelling, the likeliest first; [] where there is none.

    `reading.final_answers`; but of a response that announces no answer what follows the last "is", or else "=", of its
    last line, if that is a quantity, or mathematics with a digit: "The missing number is 14." (MathVision's rule in
    lmms-eval does so for numbers).
    """
    found = reading.final_answers(response)
    bare = response.strip()
    last = bare.rpartition("\n")[2]
    if found in ([], [bare]) and marked_answer(response) is None and len(last) <= _MAX_LINE:
        for end in _ENDS:
            match = end.fullmatch(last)
            tail = spelled(match[1]) if match else ""
            if read_quantities(tail) or (re.search(r"\d", tail) and is_mathematical(tail)):
                return [tail]
    return [text for text in dict.fromkeys(map(spelled, found)) if text]


def field(extra_info: Mapping[str, Any], name: str, benchmark: str) -> Any:
    """A key of extra_info that the rule needs. Raises: ValueError where it is missing."""
    if extra_info.get(name) is None:
        raise ValueError(f"extra_info has no {name!r}, which the rule of {benchmark} needs: convert the data again")
    return extra_info[name]
