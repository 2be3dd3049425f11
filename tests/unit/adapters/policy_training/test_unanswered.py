# SPDX-License-Identifier: Apache-2.0
"""Rollouts without an answer of the repair engine, and how long a run bears them."""

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verl_df.adapters.policy_training.unanswered import SILENT_STEPS, SilentSteps, Unanswered
from verl_df.method.repair import Rejection

STEPS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)).map(lambda pair: (max(pair), min(pair))), max_size=12)


@given(steps=STEPS)
def test_a_run_ends_when_none_of_the_repairs_of_some_steps_is_answered(steps: list[tuple[int, int]]) -> None:
    asked = [pair for pair in steps if pair[0]]  # the others say nothing
    silent = [
        number for number in range(SILENT_STEPS, len(asked) + 1) if _all_lost(asked[number - SILENT_STEPS : number])
    ]
    counted, told = SilentSteps("the engine"), 0
    try:
        for pair in steps:
            counted.count(*pair)
            told += bool(pair[0])
    except RuntimeError as error:
        assert silent and told + 1 == silent[0]
        assert "the engine answered none of the repairs of 3 steps on end: raise df.repair.timeout_s" in str(error)
    else:
        assert not silent


def _all_lost(steps: list[tuple[int, int]]) -> bool:
    return all(asked == unanswered for asked, unanswered in steps)


def test_a_line_at_the_first_and_the_tenth(caplog: pytest.LogCaptureFixture) -> None:
    unanswered = Unanswered()
    with caplog.at_level(logging.WARNING):
        found = [unanswered.no_repair(Rejection.NO_ANSWER, TimeoutError(f"late {number}")) for number in range(12)]
    assert [one.reason for one in found] == [Rejection.NO_ANSWER] * 12
    assert [record.getMessage() for record in caplog.records] == [
        "1 rollouts got no repair so far (no_answer), the last one: TimeoutError: late 0",
        "10 rollouts got no repair so far (no_answer), the last one: TimeoutError: late 9",
    ]
