# SPDX-License-Identifier: Apache-2.0
"""Answers without options, by the kind of the ground truth."""

from collections.abc import Sequence

from verl_df.judges import expressions, kinds
from verl_df.judges.rules.readings import readings
from verl_df.judges.spelling import spelled
from verl_df.judges.verdict import Verdict


def judge_free(response: str, truths: Sequence[str]) -> Verdict:
    """Verdict of a free-form question; any of `truths` will do."""
    answers = readings(response)
    verdict = Verdict(answers[0] if answers else None, False, why="the response gives no final answer")
    with expressions.limited_questions():
        for answer in answers:
            for truth in map(spelled, truths):
                outcome = kinds.same(truth, answer)
                name = kinds.kind_of(truth)[0].NAME
                verdict = Verdict(answers[0], outcome.right, name, outcome.why, outcome.doubtful)
                if outcome.right:
                    return verdict
            if verdict.doubtful:
                break
    return verdict
