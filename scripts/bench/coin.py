# SPDX-License-Identifier: Apache-2.0
"""A reward function for benchmarks: a given share of responses is wrong, whatever they say."""

import hashlib
from typing import Any


def compute_score(data_source: str, solution_str: str, ground_truth: str, *, wrong: float, **_: Any) -> float:
    """verl's custom reward function, 0.0 or 1.0 by the response's text; `wrong` is the share of 0.0."""
    number = int.from_bytes(hashlib.sha256(solution_str.encode()).digest()[:8], "big")
    return float(number / 2**64 >= wrong)
