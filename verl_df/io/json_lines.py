# SPDX-License-Identifier: Apache-2.0
"""Records as JSON lines: one versioned object a line, read strictly, written so that a crash loses nothing."""

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self, TypeVar

from verl_df.io.lock import hold

_Record = TypeVar("_Record")


def take_version(content: dict[str, Any], version: int) -> None:
    """Take the schema version out of `content`. Raises: ValueError for another one than `version`."""
    found = content.pop("schema_version", None)
    if found != version:
        raise ValueError(f"schema_version is {found!r}, this reader knows {version}")


def read_lines(path: Path, parse: Callable[[str], _Record]) -> Iterator[tuple[int, _Record]]:
    """Line number, from 1, and what `parse` makes of the line; empty lines are passed over.

    Raises: ValueError with file and line number where `parse` raises one or the text is not UTF-8.
    """
    # bytes, split at line feeds only: a text may hold U+2028, which is no end of a JSON line
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                record = parse(line.decode("utf-8-sig" if number == 1 else "utf-8"))
            except ValueError as error:
                raise ValueError(f"{path}, line {number}: {error}") from error
            yield number, record


class LineWriter:
    """Appends lines to a file and flushes each, so that a run can be watched and a crash loses nothing written.

    Folders on the way are made. Threads of one process may share a writer; two processes need a file each, for their
    lines could mix. What a crash left of a last line is cut off. A context manager.

    Raises: `io.lock.InUse` where the file has another writer.
    """

    def __init__(self, path: str | Path) -> None:
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        # A model may write half of a surrogate pair, which UTF-8 cannot hold; "\\ud83d" is JSON's own way to write it.
        self._file = path.open("a", encoding="utf-8", errors="backslashreplace")
        hold(self._file, str(path))
        cut_half_line(path)

    def write_line(self, line: str) -> None:
        """Append a line, given without its line break."""
        with self._lock:
            self._file.write(line + "\n")
            self._file.flush()

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def cut_half_line(path: Path) -> None:
    """Cut a file after its last line feed, looking back in blocks."""
    with path.open("r+b") as file:
        end = file.seek(0, os.SEEK_END)
        while end:
            start = max(0, end - 65536)
            file.seek(start)
            position = file.read(end - start).rfind(b"\n")
            if position >= 0:
                file.truncate(start + position + 1)
                return
            end = start
        file.truncate(0)
