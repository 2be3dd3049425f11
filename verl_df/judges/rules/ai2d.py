# SPDX-License-Identifier: Apache-2.0
"""AI2D: the letter of one of four options.

Source: lmms-eval compares a response without case and punctuation with the letter, or takes a letter with a full stop
at its start; VLMEvalKit uses `can_infer`. Both are in `letters`.
"""

from collections.abc import Mapping
from typing import Any

from verl_df.judges.rules.letters import judge_choice
from verl_df.judges.verdict import Verdict


def judge(response: str, truth: str, extra_info: Mapping[str, Any]) -> Verdict:
    """See `letters.judge_choice`."""
    return judge_choice(response, truth, extra_info)
