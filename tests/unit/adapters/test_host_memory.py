# SPDX-License-Identifier: Apache-2.0
"""Peaks of real processes, which take and free memory when they are told to."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from verl_df.adapters.host_memory import HostMemory

MIB = 1 << 20
# Takes as many MiB as a line says, frees them and answers; "child N" lets a child process do it.
PROGRAM = """
import subprocess, sys
child = None
for line in sys.stdin:
    *who, size = line.split()
    if who:
        child = child or subprocess.Popen([sys.executable, "-c", sys.argv[1], sys.argv[1]],
                                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        child.stdin.write(size + "\\n"); child.stdin.flush(); child.stdout.readline()
    else:
        held = b"x" * (int(size) << 20)
        del held
    print("done", flush=True)
"""


class Process:
    def __init__(self) -> None:
        command = [sys.executable, "-c", PROGRAM, PROGRAM]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def take(self, what: str) -> None:
        """Have memory taken and freed."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"

    def end(self) -> None:
        self.process.communicate()


@pytest.fixture
def process() -> Iterator[Process]:
    one = Process()
    one.take("0")  # it is up
    yield one
    one.end()


def test_a_peak_belongs_to_its_phase(process: Process) -> None:
    memory = HostMemory([process.process.pid])
    process.take("300")  # before the step: none of it
    memory.begin()
    process.take("100")
    memory.end("rollout")
    memory.end("repair")  # freed by now
    process.take("200")
    memory.end("update")
    process.take("50")
    memory.end("update")  # the same again: the larger one counts
    (found,) = memory.take().values()
    assert found["rollout"] - found["repair"] == pytest.approx(100 * MIB, abs=5 * MIB)
    assert found["update"] - found["repair"] == pytest.approx(200 * MIB, abs=5 * MIB)
    memory.begin()
    memory.end("rollout")
    assert memory.take()[process.process.pid] == {"rollout": pytest.approx(found["repair"], abs=5 * MIB)}


def test_child_processes_count_with_their_parent(process: Process) -> None:
    memory = HostMemory([process.process.pid])
    process.take("child 0")
    memory.begin()
    memory.end("rollout")
    process.take("child 150")
    memory.end("update")
    (found,) = memory.take().values()
    assert found["update"] - found["rollout"] == pytest.approx(150 * MIB, abs=5 * MIB)


def test_a_process_that_ends_is_left_out_from_the_next_step_on(process: Process) -> None:
    other = Process()
    other.take("0")
    memory = HostMemory([process.process.pid, other.process.pid])
    memory.begin()
    memory.end("rollout")
    other.end()
    memory.end("update")
    assert memory.take()[other.process.pid]["update"] == 0
    memory.begin()
    memory.end("rollout")
    assert memory.take().keys() == {process.process.pid}
