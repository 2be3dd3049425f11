# SPDX-License-Identifier: Apache-2.0
"""Is a repaired caption of ViCrit mended? For `--reward-path pkg://verl_df.lab.data.spans.reward`."""

import re
from collections.abc import Mapping
from typing import Any


def compute_score(data_source: str, solution_str: str, ground_truth: str, extra_info: Mapping[str, Any]) -> float:
    """1 where the right phrase is back and the wrong one gone, else 0: other words may have changed.

    Args:
        data_source: not looked at.
        solution_str: the repaired caption.
        ground_truth: the phrase of the right caption. It must occur as often as there.
        extra_info: `right_caption`, and `wrong_phrase`, which must not occur more often than there.

    Our reading: the pair knows one error, so that an error which the repair adds elsewhere is not seen.
    """
    right, wrong = str(extra_info["right_caption"]), str(extra_info["wrong_phrase"])
    back = _count(ground_truth, solution_str) >= _count(ground_truth, right)
    gone = _count(wrong, solution_str) <= _count(wrong, right)
    return float(back and gone)


def _count(phrase: str, text: str) -> int:
    """Occurrences as whole words, without regard to case and to the kind of blanks."""
    words = r"\s+".join(map(re.escape, phrase.split()))
    return len(re.findall(rf"(?<!\w){words}(?!\w)", text, re.IGNORECASE))
