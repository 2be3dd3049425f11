# SPDX-License-Identifier: Apache-2.0
"""What an evaluation keeps as JSON lines: its problems and every sample, so that each figure can be computed again."""

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_origin

from verl_df.io.files import whole_file
from verl_df.io.json_lines import check_names, compact_line, read_lines, versioned_object
from verl_df.method.checks import check_reward

SCHEMA_VERSION = 1
Record = TypeVar("Record", "Problem", "Sample", "Score")


@dataclass(frozen=True)
class Problem:
    """One row of a data set.

    data: name of the data set, as in the tables. problem: id within it. index: row number in the file, from 0.
    prompt: last user text, with its `<image>` markers. ground_truth, extra_info: as in the row.
    """

    data: str
    problem: str
    index: int
    data_source: str
    prompt: str
    ground_truth: str
    extra_info: dict[str, Any]


@dataclass(frozen=True)
class Sample:
    """One response. seed, sample: of the sampling, and number within it. tokens: generated. finished: not cut by the
    length limit. extracted: the answer that was read, None where none was, or the reward function does not say.
    score: in [0, 1].

    Raises: ValueError for a score outside [0, 1].
    """

    data: str
    problem: str
    seed: int
    sample: int
    text: str
    tokens: int
    finished: bool
    extracted: str | None
    score: float

    def __post_init__(self) -> None:
        check_reward(f"a sample of {self.data} {self.problem}", self.score)

    @property
    def key(self) -> tuple[str, str, int, int]:
        """What tells samples of one evaluation apart."""
        return self.data, self.problem, self.seed, self.sample


@dataclass(frozen=True)
class Score:
    """What another scorer says of a sample. Raises: ValueError for a score outside [0, 1]."""

    data: str
    problem: str
    seed: int
    sample: int
    extracted: str | None
    score: float

    def __post_init__(self) -> None:
        check_reward(f"a score of {self.data} {self.problem}", self.score)

    @property
    def key(self) -> tuple[str, str, int, int]:
        """Of the sample."""
        return self.data, self.problem, self.seed, self.sample


def to_json_line(record: Problem | Sample | Score) -> str:
    """The record as one line of JSON, without the line break."""
    return compact_line(SCHEMA_VERSION, dataclasses.asdict(record))


def write_records(path: Path, records: Iterable[Problem | Sample | Score]) -> None:
    """Write a file of records, whole or not at all."""
    with whole_file(path) as file:
        file.writelines(to_json_line(record) + "\n" for record in records)


def read_records(path: Path, kind: type[Record]) -> Iterator[Record]:
    """Read a file of `kind` one by one. Raises: ValueError with file and line number."""
    for _, record in read_lines(path, lambda line: _record(line, kind)):
        yield record


def _record(line: str, kind: type[Record]) -> Record:
    content = versioned_object(line, SCHEMA_VERSION, "a record")
    fields = {field.name: field.type for field in dataclasses.fields(kind)}
    check_names(content, fields)
    for name, wanted in fields.items():
        # bool is a kind of int, and JSON writes a whole float as it likes
        allowed = (int, float) if wanted is float else dict if get_origin(wanted) is dict else wanted
        if not isinstance(content[name], allowed) or (wanted in (int, float) and isinstance(content[name], bool)):
            raise ValueError(f"{name} is {content[name]!r}, which is not of type {getattr(wanted, '__name__', wanted)}")
    return kind(**content)
