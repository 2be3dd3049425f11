# SPDX-License-Identifier: Apache-2.0
"""MMStar: the letter of one of four options.

Source: MMStar's evaluation script takes the letter at the start of the response ("B", "(B)", "option B", "the answer is
B"); VLMEvalKit's `can_infer` looks further. Both are in `letters`. Chosen over lmms-eval's rule, which as a last resort
takes any capital A to D inside a word.
"""

from collections.abc import Mapping
from typing import Any

from verl_df.judges.rules.letters import judge_choice
from verl_df.judges.verdict import Verdict


def judge(response: str, truth: str, extra_info: Mapping[str, Any]) -> Verdict:
    """See `letters.judge_choice`. The figure is the share of right answers over all questions."""
    return judge_choice(response, truth, extra_info)
