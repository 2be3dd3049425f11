# SPDX-License-Identifier: Apache-2.0
"""The reward function of the benchmarks: each by its own rule, everything else by its final answer.

Name it as verl's custom reward function, `pkg://verl_df.judges.score`, `compute_score`: then verl's validation
during training and `verl-df eval` count alike.
"""

from collections.abc import Mapping
from typing import Any

from verl_df.judges import final_answer
from verl_df.judges.reading import after_thoughts, is_unfinished
from verl_df.judges.rules import ai2d, mathverse, mathvision, mathvista, mmmu, mmstar
from verl_df.judges.rules.readings import Rule
from verl_df.judges.verdict import Verdict

RULES: dict[str, Rule] = {
    "mathvista": mathvista.judge,
    "mmstar": mmstar.judge,
    "mmmu": mmmu.judge,
    "mathverse": mathverse.judge,
    "mathvision": mathvision.judge,
    "ai2d": ai2d.judge,
}
"""Rule of each data source; see the modules for where it comes from and where we differ."""


def judge(
    data_source: str, solution_str: str, ground_truth: Any, extra_info: Mapping[str, Any] | None = None
) -> Verdict:
    """The answer that is read from a response, and whether it is right; arguments as of `compute_score`.

    Raises:
        ValueError: the row lacks a key that the benchmark's rule needs, or its ground truth is of another form.
    """
    if data_source in RULES:
        if is_unfinished(solution_str):  # the published rules would read the rest as words
            return Verdict(None, False, why="a box or a tag that is not closed")
        truth = final_answer.truth_text(str(ground_truth))
        return RULES[data_source](after_thoughts(solution_str), truth, extra_info or {})
    return final_answer.judge(solution_str, ground_truth, extra_info)


def compute_score(
    data_source: str, solution_str: str, ground_truth: Any, extra_info: Mapping[str, Any] | None = None, **_: Any
) -> dict[str, float]:
    """verl's custom reward function: 1 for a right answer by the benchmark's rule, else 0.

    Args:
        data_source: `mathvista`, `mmstar`, `mmmu`, `mathverse`, `mathvision`, `ai2d`: by that rule; any other: by
            `judges.final_answer`.
        solution_str: the decoded response.
        ground_truth: the right answer: a letter where the question has choices, else its text.
        extra_info: of the row; `choices` and what the rule needs (`question_type`, `answer_type`, `precision`, ...).

    Returns:
        "score" and "acc", both 0.0 or 1.0; "parsed", 1.0 when an answer was found at all; "doubtful", 1.0 when it was
        refused because it can be read in more than one way.

    Raises:
        ValueError: as `judge`.
        WorkerError: math-verify does not start.
    """
    return judge(data_source, solution_str, ground_truth, extra_info).scores()
