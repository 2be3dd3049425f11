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
        self.places: dict[Hashable, list[tuple[int, int]]] = {}
        self._end = 0

    def find(self, name: Hashable, limit: int) -> list[dict[str, Any]]:
        """The first `limit` records of this name, as they stand in the file.

        Raises:
            ValueError: one of them is broken.
        """
        with self._lock:
            self._read_on()
            places = self.places.get(name, [])[:limit]
            found = []
            for offset, length in places:
                with self.path.open("rb") as file:
                    file.seek(offset)
                    line = file.read(length).decode("utf-8")
                self._lines.load(line)
                found.append(parse_json(line))
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
                if start is not None:
                    self.places.setdefault(self._name(start), []).append((self._end, len(line)))
                self._end += len(line)


def token_index(path: Path) -> LineIndex:
    """What the update saw of a pair, by step and key."""
    return LineIndex(path, TOKEN_ARRAYS, _TOKENS, lambda start: (int(start[1]), json.loads(start[2])))


def group_index(path: Path) -> LineIndex:
    """Groups by step."""
    return LineIndex(path, GROUPS, _GROUPS, lambda start: int(start[1]))
