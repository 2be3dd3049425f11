# SPDX-License-Identifier: Apache-2.0
"""Several runs at a time: all of them once, and none before the one whose device time it gets."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verl_df.lab.study.queue import RunQueue, work_off
from verl_df.lab.study.settings import Budget, Run


def run(arm: str, like: str | None = None) -> Run:
    return Run("toy", arm, 1, {}, (), None if like is None else Budget(like))


@given(st.permutations([run("a"), run("b"), run("c", "a"), run("d", "a"), run("e", "b")]), st.integers(1, 6))
def test_every_run_once_and_after_the_one_it_is_like(runs: list[Run], jobs: int) -> None:
    began: list[str] = []
    ended: set[str] = set()

    def work(one: Run) -> None:
        assert one.like is None or one.like in ended
        began.append(one.name)
        ended.add(one.name)

    work_off(runs, work, jobs)
    assert sorted(began) == sorted(one.name for one in runs)


def test_a_run_that_is_like_one_that_is_not_asked_for_does_not_wait() -> None:
    began = []
    work_off([run("c", "a")], began.append, 2)
    assert [one.name for one in began] == ["toy/c.1"]


def test_as_many_at_a_time_as_jobs() -> None:
    together = threading.Barrier(3, timeout=60)  # passes only with three in it at once
    work_off([run(name) for name in "abcdef"], lambda _: together.wait(), 3)


@pytest.mark.parametrize("jobs", [1, 3])
def test_after_an_error_nothing_new_is_begun(jobs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    began, closed, close = [], threading.Event(), RunQueue.close

    def close_and_say_so(queue: RunQueue) -> None:
        close(queue)
        closed.set()

    monkeypatch.setattr(RunQueue, "close", close_and_say_so)

    def work(one: Run) -> None:
        began.append(one.arm)
        if one.arm == "a":
            raise ValueError("broken")
        assert closed.wait(60)

    with pytest.raises(ValueError, match="broken"):
        work_off([run(name) for name in "abcdefgh"], work, jobs)
    assert len(began) <= jobs
