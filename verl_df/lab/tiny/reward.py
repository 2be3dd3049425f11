# SPDX-License-Identifier: Apache-2.0
"""A task reward for models that know nothing: half of all responses are right, whatever the question.

Without it a tiny model with random weights would never be right, and nothing of a DF step behind the rewards would
run. verl's custom reward function: `pkg://verl_df.lab.tiny.reward`, `compute_score`.
"""

import hashlib
from typing import Any


def compute_score(data_source: str, solution_str: str, ground_truth: Any, **_: Any) -> dict[str, float]:
    """1.0 or 0.0 by a hash of the response's text, the same for the same text. Returns "score" and "acc"."""
    right = float(hashlib.sha256(solution_str.encode()).digest()[0] % 2)
    return {"score": right, "acc": right}
