# SPDX-License-Identifier: Apache-2.0
"""r_task by reward functions of every form that verl takes."""

import pytest

from verl_df.lab.task_reward import Answer, TaskReward

ANSWERS = [Answer("d", text, "3", {}) for text in ("0", "0.5", "1")]


def reward(tmp_path, body, workers=1, head="def"):
    path = tmp_path / "reward.py"
    text = f"{head} compute_score(data_source, solution_str, ground_truth, extra_info=None):\n    {body}\n"
    path.write_text(f"import threading\n{text}")
    return TaskReward(str(path), workers=workers)


@pytest.mark.parametrize(
    ("body", "head", "workers"),
    [
        ("return float(solution_str)", "def", 1),
        ("return {'score': float(solution_str)}", "def", 3),
        ("return {'score': -1.0, 'acc': float(solution_str)}", "def", 1),
        ("return float(solution_str)", "async def", 2),
    ],
)
def test_forms_of_a_reward_function(tmp_path, body, head, workers):
    assert reward(tmp_path, body, workers, head).score(ANSWERS) == [0.0, 0.5, 1.0]


def test_one_worker_stays_in_the_main_thread(tmp_path):
    body = "return float(threading.current_thread() is threading.main_thread())"
    assert reward(tmp_path, body).score(ANSWERS) == [1.0] * 3
    assert reward(tmp_path, body, workers=2).score(ANSWERS) == [0.0] * 3


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return 2.0", r"\[0, 1\]"),
        ("return {'reward': 1}", "must have 'acc' or 'score'"),
        ("return None", "returned None"),
    ],
)
def test_strange_rewards_are_refused(tmp_path, body, message):
    with pytest.raises(ValueError, match=message):
        reward(tmp_path, body).score(ANSWERS)


def test_unknown_data_source_is_explained():
    with pytest.raises(ValueError, match="give --reward-path"):
        TaskReward(None).score([Answer("no/such/source", "3", "3", {})])
