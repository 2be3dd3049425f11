# SPDX-License-Identifier: Apache-2.0
"""Rows of local parquet, JSON or JSONL files, one at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from verl_df.io.json_lines import read_lines
from verl_df.io.json_text import json_object, parse_json
from verl_df.io.streams import open_parquet, parquet_rows
from verl_df.lab.data.fields import Row
from verl_df.lab.data.images import Files


@dataclass(frozen=True)
class RawRow:
    """A row of the source. where: its place, for people. files: what the paths in it mean."""

    where: str
    row: Row
    files: Files


def file_rows(paths: Sequence[Path], root: Path, start: int) -> Iterator[RawRow]:
    """Rows of files, one after the other, from number `start` on.

    A .json file is read as a whole: a list of rows, or an object whose values are the rows. The others are read a few
    rows at a time. JSON is read here and not by `datasets`, which infers one type for each column: a value of another
    kind would end the conversion, where here the row is dropped with its line and reason, and a missing key would pass
    for null.

    Raises:
        ValueError: a file that cannot be read.
    """
    files = Files(root)
    for path in paths:
        count = 0
        if path.suffix == ".parquet":
            count = open_parquet(path).metadata.num_rows
            for number, row in parquet_rows(path, range(start, count)):
                yield RawRow(f"{path.name}, row {number}", row, files)
        else:
            for count, (where, content) in enumerate(_json_rows(path), start=1):
                if count > start:
                    yield RawRow(f"{path.name}, {where}", content, files)
        start = max(0, start - count)


def _json_rows(path: Path) -> Iterator[tuple[str, Row]]:
    if path.suffix == ".jsonl":
        for number, row in read_lines(path, _object):
            yield f"line {number}", row
        return
    try:
        content = parse_json(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path}: no readable JSON: {error}") from error
    if not isinstance(content, list | dict):
        raise ValueError(f"{path}: a list of rows, or an object of rows, not {type(content).__name__}")
    named = content.items() if isinstance(content, dict) else enumerate(content)
    for name, row in named:
        if not isinstance(row, dict):
            raise ValueError(f"{path}, row {name}: an object, not {type(row).__name__}")
        yield f"row {name}", row


def _object(line: str) -> dict[str, Any]:
    return json_object(line, "a line")
