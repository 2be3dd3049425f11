# SPDX-License-Identifier: Apache-2.0
"""Whether workers live, with Ray's answers replaced; a real run is in tests/e2e/test_killed.py."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from ray.exceptions import ActorDiedError

from verl_df.adapters import living_workers
from verl_df.adapters.living_workers import end_with_dead_workers


class Worker:
    """asked: how often it was asked whether it lives. state: of its answers, also of those that are due."""

    def __init__(self) -> None:
        self.asked, self.state = 0, "alive"
        self.__ray_ready__ = SimpleNamespace(remote=self._ask)

    def _ask(self) -> "Worker":
        self.asked += 1
        return self


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Ray and the time, both replaced; seconds is to be changed."""
    now = SimpleNamespace(seconds=0.0)

    def wait(calls: Sequence[Worker], *, num_returns: int, timeout: float) -> tuple[list[Worker], list[Worker]]:
        assert num_returns == len(calls) > 0 and timeout == 0
        answered = [one for one in calls if one.state != "busy"]
        return answered, [one for one in calls if one.state == "busy"]

    def get(calls: Sequence[Worker]) -> None:
        if any(one.state == "dead" for one in calls):
            raise ActorDiedError()

    monkeypatch.setattr(living_workers, "ray", SimpleNamespace(wait=wait, get=get))
    monkeypatch.setattr(living_workers, "time", SimpleNamespace(monotonic=lambda: now.seconds))
    return now


def polls(workers: list[Worker], clock: SimpleNamespace) -> Any:
    """A function that lets seconds pass and polls once; what it returns is verl's own answer."""
    buffer: Any = SimpleNamespace(_wait_for_next_poll=lambda partition, last: (partition, last))
    end_with_dead_workers(buffer, lambda: workers)

    def poll(seconds: float) -> None:
        clock.seconds += seconds
        assert buffer._wait_for_next_poll("train", 7.0) == ("train", 7.0)

    return poll


def test_workers_are_asked_once_in_a_while(clock: SimpleNamespace) -> None:
    workers = [Worker(), Worker()]
    poll = polls(workers, clock)
    for _ in range(100):
        poll(1.0)
    assert [one.asked for one in workers] == [20, 20]


def test_a_dead_worker_ends_the_wait(clock: SimpleNamespace) -> None:
    workers = [Worker(), Worker()]
    poll = polls(workers, clock)
    poll(5.0)
    workers[1].state = "dead"
    poll(4.9)
    with pytest.raises(ActorDiedError):
        poll(0.1)


def test_a_busy_worker_is_waited_for_and_not_asked_again(clock: SimpleNamespace) -> None:
    workers = [Worker(), Worker()]
    workers[0].state = "busy"
    poll = polls(workers, clock)
    for _ in range(10):
        poll(5.0)
    assert [one.asked for one in workers] == [1, 1]
    workers[0].state = "dead"
    with pytest.raises(ActorDiedError):
        poll(5.0)


def test_without_workers_nothing_is_asked(clock: SimpleNamespace) -> None:
    poll = polls([], clock)
    poll(5.0)
    poll(5.0)
