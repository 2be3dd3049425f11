# SPDX-License-Identifier: Apache-2.0
"""MathVision: a letter of up to five options, or a value.

Source: MATH-Vision's evaluation script (also in lmms-eval): the content of the last `\\boxed{}`, else what follows "the
answer is"; right if it equals the letter, the option's value, or the answer within 1e-6. That script gives the response
to Python's `eval`; math-verify compares here, to 6 decimals.
"""

from collections.abc import Mapping
from typing import Any

from verl_df.judges.rules.free_form import judge_free
from verl_df.judges.rules.letters import judge_choice, options_of, true_letter
from verl_df.judges.verdict import Verdict

LETTERS = "ABCDE"


def judge(response: str, truth: str, extra_info: Mapping[str, Any]) -> Verdict:
    """A question with options is right by its letter or its value (`letters.judge_choice`), another one by value."""
    if extra_info.get("choices") and true_letter(truth, options_of(extra_info, LETTERS)):
        return judge_choice(response, truth, extra_info, LETTERS)
    return judge_free(response, [truth])
