# SPDX-License-Identifier: Apache-2.0
"""MathVerse: a letter, or a value.

Source: MathVerse has a language model extract the answer and another call of it compare ("completely matches"). Our
reading for a rule without a model: letters by `letters`, values by math-verify. `score` with lmms-eval asks a judge.
"""

from collections.abc import Mapping
from typing import Any

from verl_df.judges.rules.free_form import judge_free
from verl_df.judges.rules.letters import judge_choice, options_of, true_letter
from verl_df.judges.rules.readings import field
from verl_df.judges.verdict import Verdict


def judge(response: str, truth: str, extra_info: Mapping[str, Any]) -> Verdict:
    """Multiple choice by letter; a few of its rows have another answer ("False", "C and D") and are compared as texts.

    Raises:
        ValueError: no `question_type`.
    """
    choice = field(extra_info, "question_type", "MathVerse") == "multi-choice"
    if choice and true_letter(truth, options_of(extra_info)):
        return judge_choice(response, truth, extra_info)
    return judge_free(response, [truth])
