# SPDX-License-Identifier: Apache-2.0
"""Who is asked for memory, when, and what becomes of the answers; Ray, `/proc` and torch's counters are replaced."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from ray import cloudpickle
from ray.exceptions import ActorDiedError

from verl_df.adapters import run_memory
from verl_df.adapters.run_memory import GIB, Place, RunMemory
from verl_df.ledger.memory import ProcessMemory

HERE, THERE = "node a", "node b"


class Host:
    """A `HostMemory`: the peak of a phase is a number of GiB for each process, as in `PEAKS`."""

    PEAKS = {"rollout": 1, "log_probs": 2, "update": 3}

    def __init__(self, pids: Sequence[int]) -> None:
        self.pids, self.phases, self.alive = list(pids), list[str](), set(pids)

    def begin(self) -> None:
        self.phases = []

    def end(self, phase: str) -> None:
        self.phases.append(phase)

    def take(self) -> dict[int, dict[str, int]]:
        return {
            pid: {phase: self.PEAKS[phase] * GIB for phase in self.phases} for pid in self.pids if pid in self.alive
        }


class Device:
    """torch's counters: `peak` since they were last reset."""

    def __init__(self) -> None:
        self.peak = 0

    def max_memory_allocated(self) -> int:
        return self.peak * GIB

    def max_memory_reserved(self) -> int:
        return 2 * self.peak * GIB

    def reset_peak_memory_stats(self) -> None:
        self.peak = 0


class Actor:
    """Runs on a node with a device of its own; calls are answered at once."""

    def __init__(self, place: Place, dead: bool = False) -> None:
        self.place, self.dead, self.device = place, dead, Device()
        self.__ray_call__ = SimpleNamespace(remote=self._call)

    def _call(self, function: Callable[[Any], Any]) -> Any:
        if self.dead:
            return ActorDiedError()
        here = SimpleNamespace(get_node_id=lambda: self.place.node)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(run_memory.ray, "get_runtime_context", lambda: here)
            patch.setattr(run_memory.os, "getpid", lambda: self.place.pid)
            patch.setattr(run_memory, "get_torch_device", lambda: self.device)
            return function(self)


class World:
    """hosts: by node, as they were made."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, device: str) -> None:
        self.hosts: list[Host] = []
        monkeypatch.setattr(run_memory, "HostMemory", self._host)
        monkeypatch.setattr(run_memory, "_far_memory", lambda node, pids: self._far(pids))
        monkeypatch.setattr(run_memory, "this_place", lambda: Place(HERE, 1))
        monkeypatch.setattr(run_memory, "get_device_name", lambda: device)
        wait = lambda asked, num_returns, timeout: (asked, [])  # noqa: E731
        monkeypatch.setattr(run_memory, "ray", SimpleNamespace(get=self._get, wait=wait, get_runtime_context=None))

    def _host(self, pids: Sequence[int]) -> Host:
        self.hosts.append(Host(pids))
        return self.hosts[-1]

    def _far(self, pids: Sequence[int]) -> Any:
        host = self._host(pids)
        return SimpleNamespace(
            **{name: SimpleNamespace(remote=getattr(host, name)) for name in ("begin", "end", "take")}
        )

    @staticmethod
    def _get(answer: Any) -> Any:
        if isinstance(answer, ActorDiedError):
            raise answer
        return answer


def step(memory: RunMemory, *phases: str, metrics: dict[str, Any] | None = None) -> tuple[ProcessMemory, ...]:
    memory.begin()
    for phase in phases:
        memory.end(phase)
    return memory.take({} if metrics is None else metrics)


def test_each_process_on_each_node_by_phase(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, "cpu")
    actor, far = Actor(Place(HERE, 2)), Actor(Place(THERE, 2))
    kinds = {
        "actor": [actor, far],
        "critic": [actor],
        "reward": [Actor(Place(HERE, 3)), Actor(Place(HERE, 9), dead=True)],
    }
    memory = RunMemory(lambda: kinds)
    memory.end("rollout")  # before the first step nothing is looked at
    assert memory.take({}) == () and world.hosts == []
    peaks = {"rollout": 1.0, "update": 3.0}
    expected = {("trainer", 0, 1), ("actor", 0, 2), ("actor", 1, 2), ("reward", 0, 3)}
    for _ in range(2):
        found = step(memory, "rollout", "update")
        assert {(one.kind, one.node, one.pid) for one in found} == expected and len(found) == 4
        assert all(one.host == peaks and one.device == {} for one in found)
    assert len(world.hosts) == 2  # found once


def test_asking_for_the_place_imports_nothing_of_ours() -> None:
    """Processes of the data queue have neither verl nor this package loaded."""
    sent = cloudpickle.dumps(run_memory._asking_for_the_place())
    code = (
        "import pickle, sys; import ray; before = set(sys.modules); "
        f"pickle.loads({sent!r}); print(sorted(one for one in set(sys.modules) - before if one.startswith('verl')))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert found.stdout == "[]\n"


def test_after_a_death_processes_are_looked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, "cpu")
    workers = [Actor(Place(HERE, 2)), Actor(Place(HERE, 3))]
    memory = RunMemory(lambda: {"reward": workers})
    step(memory, "rollout")
    world.hosts[0].alive.remove(3)
    assert [one.pid for one in step(memory, "rollout")] == [1, 2]
    workers[1] = Actor(Place(HERE, 4))
    assert [one.pid for one in step(memory, "rollout")] == [1, 2, 4]


def test_peaks_of_devices_and_what_verl_says_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """verl's figures are peaks since the start of the process, whatever is reset between."""
    World(monkeypatch, "cuda")
    actor = Actor(Place(HERE, 2))
    memory = RunMemory(lambda: {"actor": [actor], "reward": [Actor(Place(HERE, 3))]})
    # GiB at the peaks: before the step, in its two phases, and the largest up to then
    for before, log_probs, update, so_far in ((4, 2, 3, 4), (1, 5, 2, 5), (9, 1, 6, 9)):
        actor.device.peak = before
        memory.begin()
        actor.device.peak = log_probs
        memory.end("log_probs")
        actor.device.peak = update
        names = {what: f"actor/perf/max_memory_{what}_gb" for what in ("allocated", "reserved")}
        metrics = {names["allocated"]: float(update), names["reserved"]: 2.0 * update}
        memory.end("update")
        trainer, worker, reward = memory.take(metrics)
        assert worker.device == {"log_probs": log_probs, "update": update} and trainer.device == reward.device == {}
        assert metrics == {names["allocated"]: so_far, names["reserved"]: 2 * so_far}


def test_where_peaks_cannot_be_reset_there_are_no_metrics(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    World(monkeypatch, "cpu")

    def refused(self: Host) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Host, "begin", refused)
    memory = RunMemory(dict)
    assert step(memory, "rollout") == () and step(memory, "rollout") == ()
    assert len([line for line in caplog.messages if "no metrics df/memory/*" in line]) == 1
