# SPDX-License-Identifier: Apache-2.0
"""Replicas that die or freeze are started anew: stand-ins for verl's replicas, and real processes."""

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from ray.exceptions import ActorDiedError

from verl_df.adapters.policy_training import replicas
from verl_df.adapters.policy_training.replicas import LivingReplicas, Processes

NESTED = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'input()']); print(flush=True); input()"


class Remote:
    """A method of an actor: what it is called with, and what a call returns."""

    def __init__(self, returns: Any = None) -> None:
        self.called: list[Any] = []
        self.returns = returns

    async def remote(self, given: Any) -> Any:
        self.called.append(given)
        return self.returns


class Replica:
    """Stands for verl's: each start has another address and takes part in `history`."""

    def __init__(self, name: str, history: list[str], broken: str = "") -> None:
        self.name, self.history, self.broken, self.starts = name, history, broken, 0
        self.servers: list[Any] = []
        self._start()

    @property
    def server_address(self) -> str:
        return f"{self.name}{self.starts}"

    @property
    def server_handle(self) -> Any:
        return self.servers[0]

    def _start(self) -> None:
        self.starts += 1
        address = self.server_address
        self.servers.append(SimpleNamespace(name=address, __ray_call__=Remote(Processes(address, ()))))

    async def launch_servers(self) -> None:
        assert self.servers == []
        self._start()
        self.history.append(f"launch {self.server_address}")
        if self.broken != "for good":
            self.broken = ""

    async def sleep(self) -> None:
        if self.broken == "dead":
            raise ActorDiedError
        if self.broken:
            await asyncio.sleep(3600)
        self.history.append(f"sleep {self.server_address}")


@pytest.fixture
def history(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    done: list[str] = []

    async def kill(self: Processes) -> None:
        done.append(f"kill {self.node}")

    monkeypatch.setattr(Processes, "kill", kill)
    monkeypatch.setattr(replicas.ray, "kill", lambda server: done.append(f"end {server.name}"))
    return done


def living(*of: Replica) -> LivingReplicas:
    router = SimpleNamespace(add_servers=Remote(), remove_servers=Remote())
    return LivingReplicas(of, router, timeout_s=0.05)


@pytest.mark.parametrize("broken", ["dead", "frozen"])
def test_a_replica_that_does_not_answer_is_started_anew_and_asked_again(history: list[str], broken: str) -> None:
    well, ill = Replica("w", history), Replica("i", history, broken)
    all_of_them = living(well, ill)
    all_of_them.ask(lambda replica: replica.sleep())
    assert history == ["sleep w1", "kill i1", "end i1", "launch i2", "sleep i2"]
    assert all_of_them.restarts == 1 and all_of_them.addresses == ["w1", "i2"]
    assert all_of_them.router.remove_servers.called == [["i1"]]
    assert all_of_them.router.add_servers.called == [{"i2": ill.servers[0]}]
    all_of_them.ask(lambda replica: replica.sleep())
    assert history[5:] == ["sleep w1", "sleep i2"]


def test_a_replica_that_freezes_again_at_once_ends_the_run(history: list[str]) -> None:
    with pytest.raises(TimeoutError):
        living(Replica("i", history, "for good")).ask(lambda replica: replica.sleep())
    assert history == ["kill i1", "end i1", "launch i2"]


def test_any_other_error_ends_the_run(history: list[str]) -> None:
    async def wrong(_: Any) -> None:
        raise ValueError("a wrong argument")

    with pytest.raises(ValueError, match="a wrong argument"):
        living(Replica("w", history)).ask(wrong)
    assert history == []


@pytest.fixture
def tree() -> Iterator[list[psutil.Process]]:
    """A process and one below it, both frozen."""
    with subprocess.Popen([sys.executable, "-c", NESTED], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        parent.stdout.readline()
        found = [psutil.Process(parent.pid), *psutil.Process(parent.pid).children()]
        for process in found:
            process.send_signal(signal.SIGSTOP)
            while process.status() != psutil.STATUS_STOPPED:
                time.sleep(0.01)
        yield found
        for process in found:
            if process.is_running():
                process.kill()


def test_frozen_processes_are_killed_with_those_below_them_and_no_others(tree: list[psutil.Process]) -> None:
    known = [(process.pid, process.create_time()) for process in tree]
    replicas._kill([(pid, created - 1) for pid, created in known])  # other processes had these numbers
    assert [process.status() for process in tree] == [psutil.STATUS_STOPPED] * 2
    replicas._kill([*known, *known])
    assert psutil.wait_procs(tree, timeout=60)[1] == []
