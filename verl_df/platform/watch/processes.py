# SPDX-License-Identifier: Apache-2.0
"""The processes that a command leaves on its way: found, wherever they went, and ended.

Ray's daemons leave the process group and the session of the run that started them. Two nets catch them: this process
takes over every descendant whose parent ends, and what was started with the command's environment carries a mark. The
first holds where a process has written over its environment, the second where a warm interpreter stands in between.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
import uuid
from collections import defaultdict
from pathlib import Path

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h
# The warm interpreter outlives the run that started it, and sees to the processes forked from it itself. Its variable
# names begin so, and it drops them from its own environment.
MARK = "VERL_DF_RUN_"
SPARED = str(Path(__file__).parents[1] / "warm/server.py")
GIVE_UP_AFTER_S = 60.0
_LIBC = ctypes.CDLL(None, use_errno=True)


class Family:
    """A command and all that it starts. Made once in a process."""

    def __init__(self, command: list[str]) -> None:
        """Start `command` in a process group of its own, its outputs in pipes.

        Raises:
            OSError: it cannot be started.
        """
        self.mark = f"{MARK}{uuid.uuid4().hex}"
        _prctl(PR_SET_CHILD_SUBREAPER, 1)
        self.command = subprocess.Popen(
            command,
            env={**os.environ, self.mark: "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            preexec_fn=_own_group_while_the_watcher_lives,
        )

    def pass_on(self, number: int) -> None:
        """Pass a signal on, as a terminal does: to the whole group; but SIGTERM to the command alone.

        Ray's daemons are in the group where nothing starts warm. They ignore SIGINT, but not SIGTERM, and a run cannot
        finish its step without them.
        """
        if number == signal.SIGTERM:
            _send(self.command.pid, number)  # not reaped yet, so the number is still its own
            return
        try:
            os.killpg(self.command.pid, number)
        except ProcessLookupError:  # it has just ended
            pass

    def reap(self) -> None:
        """Collect the exit statuses of adopted processes; the command's own is left to its object."""
        while True:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if ended is None or ended.si_pid == self.command.pid:
                self.command.poll()
                return
            os.waitpid(ended.si_pid, 0)

    def left(self) -> list[int]:
        """Process ids of all that is alive."""
        parents = {pid: parent for pid, parent in _living() if pid != os.getpid()}
        children = defaultdict(list)
        for pid, parent in parents.items():
            children[parent].append(pid)
        found, queue = set(), [os.getpid()]
        while queue:
            new = [pid for pid in children[queue.pop()] if SPARED not in _read(pid, "cmdline")]
            found.update(new)
            queue += new
        found.update(pid for pid in parents if self.mark in _read(pid, "environ"))
        return sorted(found)

    def end(self, kill_after: float) -> list[int]:
        """SIGTERM to all, SIGKILL to those who are left some seconds later. Returns who is left, normally none."""
        asked: set[int] = set()
        start = time.monotonic()
        while time.monotonic() - start < kill_after + GIVE_UP_AFTER_S:
            self.reap()
            left = self.left()
            if not left:
                self.reap()
                return []
            late = time.monotonic() - start > kill_after
            for pid in left if late else set(left) - asked:
                _send(pid, signal.SIGKILL if late else signal.SIGTERM)
            asked.update(left)
            time.sleep(0.1)
        return left


def _own_group_while_the_watcher_lives() -> None:
    os.setpgid(0, 0)
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _prctl(option: int, value: int) -> None:
    if _LIBC.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}, {value})")


def _send(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:  # it was faster
        pass


def _living() -> list[tuple[int, int]]:
    """Process id and parent of every process that has not ended."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            fields = _read(int(name), "stat").rpartition(")")[2].split()
            if fields and fields[0] not in "ZX":
                found.append((int(name), int(fields[1])))
    return found


def _read(pid: int, name: str) -> str:
    """A file of a process; empty where the process has ended or is somebody else's."""
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes().decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return ""
