# SPDX-License-Identifier: Apache-2.0
"""Finds records by step in the files beside pairs.jsonl, which may still grow, reading each line's start only."""

import json
import re
import threading
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

from verl_df.io.json_text import parse_json
from verl_df.io.lines import Lines
from verl_df.method.group_records import GROUPS
from verl_df.method.token_arrays import TOKEN_ARRAYS

# As `Lines` writes: the schema version, then the fields in their order.
_TOKENS = re.compile(rb'\{"schema_version":\d+,"step":(\d{1,18}),"key":("(?:[^"\\]|\\.){0,1000}")[,}]')
_GROUPS = re.compile(rb'\{"schema_version":\d+,"step":(\d{1,18}),')


class LineIndex:
    """Where the records of each name stand. Threads may share it."""

    def __init__(self, path: Path, lines: Lines[Any], start: re.Pattern[bytes], name: Callable[..., Hashable]) -> None:
        self.path, self._lines, self._pattern, self._name = path, lines, start, name
        self._lock = threading.Lock()
        self._start()

    def _start(self) -> None:
        self.places: dict[Hashable, list[tuple[int, int, int]]] = {}  # number of the line, and its bytes
        self._end, self._line = 0, 0

    def find(self, name: Hashable, limit: int) -> dict[str, list[Any]]:
        """The first `limit` lines of this name.

        Returns:
            records: as they stand in the file; faults: what is wrong with those lines that hold none, and where.
        """
        with self._lock:
            self._read_on()
            found: dict[str, list[Any]] = {"records": [], "faults": []}
            for number, offset, length in self.places.get(name, [])[:limit]:
                with self.path.open("rb") as file:
                    file.seek(offset)
                    line = file.read(length)
                try:
                    text = line.decode("utf-8")
                    self._lines.load(text)
                    found["records"].append(parse_json(text))
                except ValueError as error:
                    found["faults"].append(f"{self.path.name}, line {number}: {' '.join(str(error).split())[:300]}")
            return found

    def _read_on(self) -> None:
        size = self.path.stat().st_size if self.path.is_file() else 0
        if size < self._end:
            self._start()  # the file was replaced
        if size == self._end:
            return
        with self.path.open("rb") as file:
            file.seek(self._end)
            while (line := file.readline()).endswith(b"\n"):
                start = self._pattern.match(line)
                self._line += 1
                if start is not None:
                    self.places.setdefault(self._name(start), []).append((self._line, self._end, len(line)))
                self._end += len(line)


def token_index(path: Path) -> LineIndex:
    """What the update saw of a pair, by step and key."""
    return LineIndex(path, TOKEN_ARRAYS, _TOKENS, lambda start: (int(start[1]), json.loads(start[2])))


def group_index(path: Path) -> LineIndex:
    """Groups by step."""
    return LineIndex(path, GROUPS, _GROUPS, lambda start: int(start[1]))
