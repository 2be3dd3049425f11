# SPDX-License-Identifier: Apache-2.0
"""Answers without options: equal as texts, quantities or expressions (math-verify)."""

from collections.abc import Sequence

from verl_df.judges.final_answer import same_answer
from verl_df.judges.rules.verdict import Verdict, readings, spelled


def judge_free(response: str, truths: Sequence[str]) -> Verdict:
    """Verdict of a free-form question; any of `truths` will do."""
    answers = readings(response)
    right = any(same_answer(spelled(truth), answer) for truth in truths for answer in answers)
    return Verdict(answers[0] if answers else None, right)
