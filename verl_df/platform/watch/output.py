# SPDX-License-Identifier: Apache-2.0
"""A command's two outputs: to the log, to the terminal, and line by line to whoever reads them."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path
from typing import BinaryIO

from verl_df.platform.watch.ending import Findings
from verl_df.platform.watch.milestones import describe

CHUNK = 65536  # all that a pipe holds


class Log:
    """The file that receives everything. A log of an earlier run is kept beside it, one generation."""

    def __init__(self, path: Path) -> None:
        """Raises: OSError: it cannot be made."""
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file():
            path.replace(path.with_suffix(f".previous{path.suffix}"))
        self._file = path.open("wb", buffering=0)

    def write(self, data: bytes) -> None:
        """Raises: OSError: the disk is full."""
        while data:
            data = data[self._file.write(data) :]


class Terminal:
    """One of this process's own outputs, until nobody reads it any more."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._read = file, True

    def write(self, data: bytes) -> None:
        """Raises: OSError: it leads to a full disk."""
        if not self._read:
            return
        try:
            self._file.write(data)
            self._file.flush()
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.EIO):
                raise
            self._read = False  # a closed pipe or a terminal that is gone: the log has it all


class Stream:
    """One output of the command. The log gets whole lines, so that two outputs do not mix within one."""

    def __init__(self, pipe: BinaryIO, log: Log, terminal: Terminal, findings: Findings, brief: bool) -> None:
        self.pipe, self._log, self._terminal, self._findings, self._brief = pipe, log, terminal, findings, brief
        self._half, self._told = b"", True
        self._start = time.monotonic()
        os.set_blocking(pipe.fileno(), False)

    def read(self) -> bytes | None:
        """Pass on what has come. Returns it: empty at the end of the output, None where nothing has come.

        Raises: OSError: the disk is full.
        """
        chunk = self.pipe.read(CHUNK)
        if chunk:
            if self._told and not self._brief:
                self._terminal.write(chunk)
            end = max(chunk.rfind(b"\n"), chunk.rfind(b"\r")) + 1
            if end:
                self._write(self._half + chunk[:end])
            self._half = chunk[end:] if end else self._half + chunk
        return chunk

    def only_log(self) -> None:
        """From now on neither the terminal nor the findings get anything."""
        self._told = False

    def flush(self) -> None:
        """Write half a line, too. Raises: OSError: the disk is full."""
        self._write(self._half)
        self._half = b""

    def _write(self, data: bytes) -> None:
        for line in data.decode(errors="replace").splitlines() if self._told else ():
            self._findings.take(line)
            meaning = describe(line) if self._brief else None
            if meaning:
                passed = time.monotonic() - self._start
                self._terminal.write(f"  [{passed:4.0f} s] {meaning}\n".encode())
        self._log.write(data)
