# SPDX-License-Identifier: Apache-2.0
"""The rule-based task reward r_task: is the final answer right? By the kind of the ground truth (`judges.kinds`).

Name it as verl's custom reward function: `pkg://verl_df.judges.final_answer`, `compute_score`. No model is asked and no
reasoning is read.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import re2

from verl_df.judges import expressions, kinds
from verl_df.judges.kinds.options import read_choices
from verl_df.judges.reading import encodable, final_answers, marked_answer
from verl_df.judges.spelling import spelled
from verl_df.judges.verdict import Verdict

# Of a truth that is given as a response is: with words before it.
_ANNOUNCED = re2.compile(
    r"(?i)^\W*(?:so |thus |therefore |hence )?(?:the )?(?:final |correct )?answer(?:\s+is\b|\s*[:=])|(?m:^)####"
)


def compute_score(
    data_source: str, solution_str: str, ground_truth: Any, extra_info: Mapping[str, Any] | None = None, **_: Any
) -> dict[str, float]:
    """verl's custom reward function: r_task in {0, 1}, by the final answer alone.

    Args:
        data_source: the row's data source (not used: the rules follow from the ground truth).
        solution_str: the decoded response; see `reading.final_answers` for where its answer is looked for.
        ground_truth: the right answer, or a list of accepted answers; text, LaTeX, a number, or a choice letter.
        extra_info: the row's extra information; `choices`, the options of a multiple-choice question, is used.

    Returns:
        "score" and "acc", both 0.0 or 1.0; "parsed", 1.0 when a final answer was found at all; "doubtful", 1.0 when it
        was refused because it can be read in more than one way.

    Raises:
        ValueError: an empty list of accepted answers, or `choices` of another form: a fault in the data.
        WorkerError: math-verify does not start.
    """
    return judge(solution_str, ground_truth, extra_info).scores()


def judge(response: str, ground_truth: Any, extra_info: Mapping[str, Any] | None = None) -> Verdict:
    """The verdict on a response, with its kind and reason. Arguments and errors as of `compute_score`."""
    truths = _accepted(ground_truth)
    choices = read_choices(extra_info)
    answers = [text for text in map(spelled, final_answers(response)) if text]
    if not answers:
        return Verdict(None, False, kinds.name_of(truths[0], choices), "the response gives no final answer")
    found = []
    with expressions.limited_questions():
        for answer in answers:
            for truth in truths:
                kind, outcome = kinds.compare(truth, answer, choices)
                found.append(Verdict(answers[0], outcome.right, kind, outcome.why, outcome.doubtful))
                if outcome.right:
                    return found[-1]
            if any(verdict.doubtful for verdict in found):
                break  # what follows is only part of a doubtful line
    return next((verdict for verdict in found if verdict.doubtful), found[0])


def truth_text(text: str) -> str:
    """A ground truth in our spelling, without the box, the tag or the words that announce it."""
    text = encodable(text)
    if marked_answer(text) is None and _ANNOUNCED.search(text) is None:
        return spelled(text)
    answers = final_answers(text)
    return spelled(answers[0] if answers else text)


def _accepted(ground_truth: Any) -> list[str]:
    many = isinstance(ground_truth, Iterable) and not isinstance(ground_truth, str | bytes | Mapping)
    truths = [truth_text(str(truth)) for truth in (ground_truth if many else [ground_truth])]
    if not truths:
        raise ValueError("ground_truth is an empty list: give at least one accepted answer")
    return truths
