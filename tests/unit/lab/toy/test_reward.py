# SPDX-License-Identifier: Apache-2.0
"""The rule-based reward, odd inputs included."""

import pytest

from verl_df.lab.toy.reward import boxed_answer, compute_score


@pytest.mark.parametrize(
    ("response", "score"),
    [
        ("\\boxed{3}", 1.0),
        ("\\boxed{ 3 }", 1.0),
        ("\\boxed{2} no, \\boxed{3}", 1.0),
        ("\\boxed{3} no, \\boxed{2}", 0.0),
        ("3", 0.0),
        ("", 0.0),
        ("\\boxed{}", 0.0),
        ("\\boxed{3", 0.0),
        ("boxed{3}", 0.0),
        ("\\boxed{33}", 0.0),
        ("\\boxed{\\boxed{3}}", 1.0),
        ("\ufffd\\boxed{3}\n\n", 1.0),
    ],
)
def test_last_boxed_answer_decides(response, score):
    result = compute_score("verl_df/toy", response, "3", extra_info=None, some_future_argument=1)
    assert result["score"] == result["acc"] == score


def test_ground_truth_may_be_a_number():
    assert compute_score("verl_df/toy", "\\boxed{3}", 3)["score"] == 1.0


def test_boxed_is_reported_apart_from_right():
    scored = compute_score("verl_df/toy", "\\boxed{9}", "3", {"split": "rl_val", "index": 7})
    assert scored == {"score": 0.0, "acc": 0.0, "boxed": 1.0, "problem": "rl_val/7"}
    assert boxed_answer("none") is None
