# SPDX-License-Identifier: Apache-2.0
"""Rule-based task reward r_task: is the last boxed answer the right one?"""

import re
from typing import Any

_BOXED = re.compile(r"\\boxed\{([^{}]*)\}")


def boxed_answer(response: str) -> str | None:
    """Content of the last `\\boxed{...}` of a response, stripped; None when there is none."""
    found = _BOXED.findall(response)
    return found[-1].strip() if found else None


def compute_score(
    data_source: str, solution_str: str, ground_truth: str, extra_info: dict[str, Any] | None = None, **_: Any
) -> dict[str, float | str]:
    """verl's custom reward function: r_task in {0, 1}, by the final answer alone.

    Args:
        data_source: the row's data source (not used: the module has one task).
        solution_str: the decoded response.
        ground_truth: the right answer.
        extra_info: the row's extra information; its split and index name the problem.

    Returns:
        "score" and "acc", both 0.0 or 1.0, "boxed", 1.0 when the response contains a boxed answer at all, and
        "problem", which a validation's dump carries, so that runs can be compared problem by problem.
    """
    found = boxed_answer(solution_str)
    right = float(found is not None and found == str(ground_truth).strip())
    info = extra_info or {}
    problem = f"{info.get('split', '')}/{info.get('index', '')}"
    return {"score": right, "acc": right, "boxed": float(found is not None), "problem": problem}
