# SPDX-License-Identifier: Apache-2.0
"""Rows of a source, one at a time, and those of local parquet, JSON or JSONL files."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, Protocol

import pyarrow.parquet as pq
from pyarrow import ArrowInvalid

from verl_df.io.json_lines import read_lines
from verl_df.lab.data.fields import Row
from verl_df.lab.data.images import Files

# Rows decoded at a time: a row may hold several photographs.
_ROWS_AT_ONCE = 16


@dataclass(frozen=True)
class RawRow:
    """A row of the source. where: its place, for people."""

    where: str
    row: Row


class Input(Protocol):
    """Where rows come from.

    files: what their paths mean. state: what tells another input of the same name apart. commit: of the hub's
    repository; "": local files.
    """

    files: Files
    state: list[str]
    commit: str

    def rows(self, start: int) -> Iterator[RawRow]:
        """The rows from number `start` on, from 0, always in one order."""


class FileInput:
    """Local files, one after the other.

    A .json file is read as a whole: a list of rows, or an object whose values are the rows. The others are read a few
    rows at a time.
    """

    def __init__(self, paths: Sequence[Path], root: Path) -> None:
        self.files = Files(root)
        self.commit = ""
        self.state = [f"{path.relative_to(root)}: {path.stat().st_size} bytes" for path in paths]
        self._paths = paths

    def rows(self, start: int) -> Iterator[RawRow]:
        """See Input. Raises: ValueError for a file that cannot be read."""
        for path in self._paths:
            if path.suffix == ".parquet":
                count = _parquet(path).metadata.num_rows
                yield from _parquet_rows(path, start)
                start = max(0, start - count)
            else:
                seen = 0
                for seen, raw in enumerate(_json_rows(path), start=1):
                    if seen > start:
                        yield raw
                start = max(0, start - seen)


def _parquet(path: Path) -> pq.ParquetFile:
    try:
        # a page of the file at a time; pre-buffering would hold a whole row group, which may be the whole file
        return pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 16)
    except ArrowInvalid as error:
        raise ValueError(f"{path}: no readable parquet file: {error}") from error


def _parquet_rows(path: Path, start: int) -> Iterator[RawRow]:
    file = _parquet(path)
    sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
    ends = list(accumulate(sizes))
    groups = [group for group, end in enumerate(ends) if end > start]
    first = ends[groups[0]] - sizes[groups[0]] if groups else 0
    for batch in file.iter_batches(_ROWS_AT_ONCE, row_groups=groups):
        for offset in range(max(0, start - first), batch.num_rows):
            yield RawRow(f"{path.name}, row {first + offset}", batch.slice(offset, 1).to_pylist()[0])
        first += batch.num_rows


def _json_rows(path: Path) -> Iterator[RawRow]:
    if path.suffix == ".jsonl":
        for number, row in read_lines(path, _object):
            yield RawRow(f"{path.name}, line {number}", row)
        return
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path}: no readable JSON: {error}") from error
    if not isinstance(content, list | dict):
        raise ValueError(f"{path}: a list of rows, or an object of rows, not {type(content).__name__}")
    named = content.items() if isinstance(content, dict) else enumerate(content)
    for name, row in named:
        if not isinstance(row, dict):
            raise ValueError(f"{path}, row {name}: an object, not {type(row).__name__}")
        yield RawRow(f"{path.name}, row {name}", row)


def _object(line: str) -> dict[str, Any]:
    content = json.loads(line)
    if not isinstance(content, dict):
        raise ValueError(f"a line is a JSON object, this one holds a {type(content).__name__}")
    return content
