# SPDX-License-Identifier: Apache-2.0
"""The driver's side of a clean stop; the trainer's is in test_accounted.py, a real run in tests/e2e/test_killed.py."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from verl_df.adapters.clean_stop import FILE, ListeningRunner, StopRequest, stop_on_signal
from verl_df.platform.watch.ending import WILL_STOP


class Second(Exception):
    """What a signal does that is not ours to hear."""


def _raise(number: int, _: Any) -> None:
    raise Second(number)


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = {number: signal.signal(number, _raise) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_and_the_second_ends(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], number: signal.Signals
) -> None:
    with stop_on_signal(tmp_path) as stop:
        stop.listen()
        os.kill(os.getpid(), number)
        assert StopRequest(tmp_path).made()
        assert stop.status == 0  # the trainer has not taken it: the run came to its end
        name = "Ctrl-C" if number == signal.SIGINT else "SIGTERM"
        assert capfd.readouterr().err == f"{name}: {WILL_STOP}; press Ctrl-C again to end now\n"
        with pytest.raises(Second):
            os.kill(os.getpid(), signal.SIGINT)
        StopRequest(tmp_path).take()
        assert stop.status == 128 + number
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_heard_before_and_after(tmp_path: Path) -> None:
    with stop_on_signal(tmp_path) as stop:
        with pytest.raises(Second):
            os.kill(os.getpid(), signal.SIGTERM)
        stop.listen()
    assert signal.getsignal(signal.SIGTERM) is signal.getsignal(signal.SIGINT) is _raise
    assert stop.status == 0 and not StopRequest(tmp_path).made()


def test_ignored_signals_stay_ignored(tmp_path: Path) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with stop_on_signal(tmp_path) as stop:
        stop.listen()
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.number is None and not StopRequest(tmp_path).made()
    assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN


def test_the_request_of_a_killed_run_is_forgotten(tmp_path: Path) -> None:
    (tmp_path / FILE).touch()
    with stop_on_signal(tmp_path):
        assert not StopRequest(tmp_path).made()


def test_listening_begins_when_the_runner_is_made() -> None:
    made: list[Any] = []

    class Runner:
        def options(self, **options: Any) -> "Runner":
            made.append(options)
            return self

        def remote(self) -> str:
            made.append("actor")
            return "handle"

    runner = ListeningRunner(Runner(), lambda: made.append("listens"))
    assert made == [] and runner.remote() == "handle" and made == ["listens", "actor"]
    made.clear()
    assert runner.options(num_cpus=1).remote() == "handle" and made == [{"num_cpus": 1}, "listens", "actor"]
