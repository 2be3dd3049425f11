# SPDX-License-Identifier: Apache-2.0
"""Peaks of the host memory of processes on this machine, read from Linux's `/proc`."""

import os
from collections.abc import Iterable

_RESET_PEAK = b"5"  # of `clear_refs`: man 5 proc_pid_clear_refs


class HostMemory:
    """Peaks of processes with their child processes, by phase.

    Args:
        pids: of the processes.
    """

    def __init__(self, pids: Iterable[int]) -> None:
        self._members: dict[int, list[int]] = {pid: [pid] for pid in pids}
        self._peaks: dict[int, dict[str, int]] = {}

    def begin(self) -> None:
        """Find the child processes, and forget what came before. Raises: OSError as `reset_peak` of this process."""
        reset_peak("self")
        parents = _parents()
        self._members = {root: [] for root in self._members}
        for pid in parents:
            root: int | None = pid
            while root is not None and root not in self._members:
                root = parents.get(root)
            if root is not None:
                self._members[root].append(pid)
        self._end_window()
        self._peaks = {root: {} for root in self._members}

    def end(self, phase: str) -> None:
        """A phase is over; its peaks are those since the one before."""
        for root, peak in self._end_window().items():
            own = self._peaks.setdefault(root, {})
            own[phase] = max(own.get(phase, 0), peak)

    def take(self) -> dict[int, dict[str, int]]:
        """Bytes by phase of each process that is still there, since `begin`."""
        return {root: peaks for root, peaks in self._peaks.items() if self._members[root]}

    def _end_window(self) -> dict[int, int]:
        window = {}
        for root, members in self._members.items():
            window[root] = sum(_peak_and_reset(pid) for pid in members)
        return window


def reset_peak(pid: int | str) -> None:
    """Let the kernel count the process's peak anew. Raises: OSError where it does not allow that."""
    with open(f"/proc/{pid}/clear_refs", "wb", buffering=0) as file:
        file.write(_RESET_PEAK)


def _peak_and_reset(pid: int) -> int:
    """Bytes; 0 of a process that has ended."""
    try:
        status = _read(f"/proc/{pid}/status")
        reset_peak(pid)
    except (FileNotFoundError, ProcessLookupError):
        return 0
    _, _, after = status.partition(b"VmHWM:")
    return int(after.split(maxsplit=1)[0]) << 10 if after else 0  # kB; a process that is ending has none


def _parents() -> dict[int, int]:
    """The parent of each process of this machine."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                stat = _read(f"/proc/{name}/stat")
            except (FileNotFoundError, ProcessLookupError):
                continue
            found[int(name)] = int(stat.rpartition(b")")[2].split(maxsplit=2)[1])  # PID (NAME) STATE PARENT ...
    return found


def _read(path: str) -> bytes:
    with open(path, "rb", buffering=0) as file:
        return file.read(8192)
