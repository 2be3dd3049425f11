# SPDX-License-Identifier: Apache-2.0
"""Finds what the update saw of a pair's tokens in token_arrays.jsonl, which may still grow."""

import json
import re
import threading
from pathlib import Path
from typing import Any

from verl_df.io.json_text import parse_json
from verl_df.method.token_arrays import TOKEN_ARRAYS

# As `TOKEN_ARRAYS` writes a line: only these two values are read until a pair is opened.
_START = re.compile(rb'\{"schema_version":\d+,"step":(\d{1,18}),"key":("(?:[^"\\]|\\.){0,1000}")[,}]')


class TokenIndex:
    """Where the record of each pair stands. Threads may share it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._start()

    def _start(self) -> None:
        self._places: dict[tuple[int, str], tuple[int, int]] = {}
        self._end = 0

    def find(self, step: int, key: str) -> dict[str, Any] | None:
        """The record of a pair as it stands in the file; None where there is none.

        Raises:
            ValueError: the record is broken.
        """
        with self._lock:
            if not self.path.is_file():
                return None
            self._read_on()
            place = self._places.get((step, key))
            if place is None:
                return None
            with self.path.open("rb") as file:
                file.seek(place[0])
                line = file.read(place[1])
        TOKEN_ARRAYS.load(line.decode("utf-8"))
        return parse_json(line)  # type: ignore[no-any-return]

    def _read_on(self) -> None:
        if self.path.stat().st_size < self._end:
            self._start()  # the file was replaced
        with self.path.open("rb") as file:
            file.seek(self._end)
            while (line := file.readline()).endswith(b"\n"):
                start = _START.match(line)
                if start is not None:
                    self._places[int(start[1]), json.loads(start[2])] = (self._end, len(line))
                self._end += len(line)
