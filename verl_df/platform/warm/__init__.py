# SPDX-License-Identifier: Apache-2.0
"""A Python interpreter whose imports are done: starts of processes in a fraction of a second. See README.md here."""

import os
import signal
import socket
import struct
import sys
from pathlib import Path

WARM_PYTHON = str(Path(__file__).parent / "python")


def python() -> str:
    """What to start another Python with: the warm one where this run uses it (scripts/cpu_env.sh), else this one."""
    return WARM_PYTHON if os.environ.get("VERL_DF_PYTHON") else sys.executable


def running(folder: Path) -> list[tuple[int, Path]]:
    """Process id and socket of each warm interpreter that listens in `folder`."""
    found = []
    for path in sorted(folder.glob("*.socket")):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            try:
                connection.connect(str(path))
            except ConnectionRefusedError:
                continue  # it was killed; its socket stays
            pid, _, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
            found.append((pid, path))
    return found


def stop(folder: Path) -> int:
    """End the warm interpreters that listen in `folder`, and with them all twins. Returns their number."""
    interpreters = running(folder)
    for pid, path in interpreters:
        os.kill(pid, signal.SIGKILL)  # the kernel does the same to its twins
        path.unlink()
    return len(interpreters)
