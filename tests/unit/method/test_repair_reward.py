# SPDX-License-Identifier: Apache-2.0
"""Eq. 3 and 4: the repair reward, its gates, and what a step logs of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verl_df.method.repair_reward import image_gate, score_repair, summarize_scores

TOKENS = st.lists(st.integers(0, 5), max_size=12)
REWARDS = st.floats(0, 1)
PENALTIES = st.floats(0, 2)


def levenshtein(a: list[int], b: list[int]) -> int:
    """The textbook table, for comparison."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        above, row = row, [i] + [0] * len(b)
        for j, y in enumerate(b, start=1):
            row[j] = min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (x != y))
    return row[-1]


@given(TOKENS, TOKENS, REWARDS, PENALTIES, st.none() | REWARDS, st.sampled_from([0, 1]))
def test_reward_is_equation_4(y, repair, r_task, penalty, r_removed, g_aud) -> None:
    score = score_repair(y, repair, r_task=r_task, edit_penalty=penalty, r_removed=r_removed, g_aud=g_aud)
    g_vis = 1 if r_removed is None or r_removed < 1 else 0
    expected = g_aud * g_vis * (r_task - penalty * levenshtein(y, repair) / max(1, len(y)))
    assert score.reward == pytest.approx(expected)
    assert (score.g_vis, score.g_aud, score.edit_distance) == (g_vis, g_aud, levenshtein(y, repair))


def test_by_hand() -> None:
    kept = dict(r_task=1.0, edit_penalty=0.5)
    assert score_repair([1, 2, 3, 4], [1, 9, 3, 4], **kept).reward == pytest.approx(0.875)
    assert score_repair([1, 2, 3, 4], [1, 9, 3, 4], r_removed=0.0, **kept).reward == pytest.approx(0.875)
    assert score_repair([1, 2, 3, 4], [1, 9, 3, 4], r_removed=1.0, **kept).reward == 0
    assert score_repair([1, 2, 3, 4], [1, 9, 3, 4], g_aud=0, **kept).reward == 0
    assert score_repair([1, 2, 3, 4], [5, 6, 7, 8], r_task=0.0, edit_penalty=0.5).reward == pytest.approx(-0.5)
    assert score_repair([], [1, 2], r_task=1.0, edit_penalty=0.5).reward == pytest.approx(0.0)  # over max(1, |y|)


@pytest.mark.parametrize(("r_removed", "gate"), [(None, 1), (0.0, 1), (0.999, 1), (1.0, 0)])
def test_image_gate_is_equation_3(r_removed: float | None, gate: int) -> None:
    assert image_gate(r_removed) == gate


@pytest.mark.parametrize("values", [{"r_task": 1.5}, {"r_task": float("nan")}, {"r_task": 1.0, "r_removed": -1.0}])
def test_a_reward_that_is_none_is_refused(values: dict) -> None:
    with pytest.raises(ValueError, match="give the task reward in"):
        score_repair([1], [2], edit_penalty=0.5, **values)


def row(r_task: float, ratio: float, failed: float = 0.0) -> dict[str, float]:
    gates = {"g_vis": 1.0, "g_aud": 0.0, "removed_failed": failed, "audit_failed": 0.0}
    return {"acc": r_task, "r_task": r_task, "edit_ratio": ratio, "r_rep": r_task - ratio, **gates}


def test_summary_of_a_step() -> None:
    metrics = summarize_scores([row(1.0, 0.2), row(0.0, 0.0, failed=1.0), row(0.0, 0.4, failed=1.0), row(1.0, 0.4)])
    assert metrics == pytest.approx(
        {
            "repair/r_task": 0.5,
            "repair/edit_ratio": 0.25,
            "repair/right_edit_ratio": 0.3,
            "repair/r_rep": 0.25,
            "repair/g_vis": 1.0,
            "repair/g_aud": 0.0,
            "repair/unchanged": 0.25,
            "repair/removed_failed": 2.0,
            "repair/audit_failed": 0.0,
        }
    )


def test_summary_without_a_right_repair_has_no_ratio_of_them() -> None:
    assert "repair/right_edit_ratio" not in summarize_scores([row(0.0, 0.5)])
