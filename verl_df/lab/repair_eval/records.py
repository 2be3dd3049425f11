# SPDX-License-Identifier: Apache-2.0
"""What an evaluation keeps: its tasks and every sample as JSON lines, so that each figure can be computed again."""

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from verl_df.io.json_lines import check_names, compact_line, versioned_object
from verl_df.method.checks import check_choice, check_reward
from verl_df.method.records import REFERENCE_KINDS

SCHEMA_VERSION = 1
FULL, HIDDEN, SHOWN = "full", "removed_hidden", "removed_shown"
CONDITIONS = (FULL, HIDDEN, SHOWN)
DECODINGS = ("sampled", "greedy", "copy")

Record = TypeVar("Record", "TaskRecord", "SampleRecord")


@dataclass(frozen=True)
class TaskRecord:
    """One wrong response to repair.

    task_id: of x, y and a; prompt_id: of x, the same for all responses to one prompt. question: last user text.
    response, response_ids: y. reference: a. truth_mask: the truly wrong tokens of y, 0 or 1 each, None where unknown.

    Raises: ValueError for an unknown reference kind, or a truth mask of another length than y.
    """

    task_id: str
    prompt_id: str
    reference_kind: str
    question: str
    ground_truth: str
    reference: str
    response: str
    response_ids: tuple[int, ...]
    truth_mask: tuple[int, ...] | None

    def __post_init__(self) -> None:
        check_choice("reference_kind", self.reference_kind, REFERENCE_KINDS)
        if self.truth_mask is not None and len(self.truth_mask) != len(self.response_ids):
            raise ValueError(f"truth_mask has {len(self.truth_mask)} entries for {len(self.response_ids)} tokens")


@dataclass(frozen=True)
class SampleRecord:
    """One sample of one method for one task.

    method: name in the tables. decoding: "sampled", "greedy" or "copy" (nothing is generated). condition: "full", or
    the image removed with the reference hidden or shown. seed, sample: of the sampling, and number within it.
    token_ids, text: what was generated. finished, contains_placeholder: as in `method.repair.Candidate`.
    reward: r_task of the text for the original prompt, in [0, 1].

    Raises: ValueError for an unknown decoding or condition, or a reward outside [0, 1].
    """

    task_id: str
    method: str
    decoding: str
    condition: str
    seed: int
    sample: int
    token_ids: tuple[int, ...]
    text: str
    finished: bool
    contains_placeholder: bool
    reward: float

    def __post_init__(self) -> None:
        check_choice("decoding", self.decoding, DECODINGS)
        check_choice("condition", self.condition, CONDITIONS)
        check_reward(f"a sample of {self.method}", self.reward)


def to_json_line(record: TaskRecord | SampleRecord) -> str:
    """The record as one line of JSON, without the line break."""
    return compact_line(SCHEMA_VERSION, dataclasses.asdict(record))


def write_records(path: Path, records: Iterable[TaskRecord | SampleRecord]) -> None:
    """Write a file of records, whole or not at all."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("w", encoding="utf-8") as file:
        file.writelines(to_json_line(record) + "\n" for record in records)
    temporary.rename(path)


def read_records(path: Path, kind: type[Record]) -> Iterator[Record]:
    """Read a file of `kind` one by one. Raises: ValueError with file and line number."""
    hints = get_type_hints(kind)
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                record = kind(**_fields(hints, line))
            except ValueError as error:
                raise ValueError(f"{path}, line {number}: {error}") from error
            yield record


def _fields(hints: dict[str, Any], line: str) -> dict[str, Any]:
    content = versioned_object(line, SCHEMA_VERSION, "a record")
    check_names(content, hints)
    return {name: _typed(name, content[name], kind) for name, kind in hints.items()}


def _typed(name: str, value: Any, kind: Any) -> Any:
    options = get_args(kind) if isinstance(kind, UnionType) else (kind,)
    if value is None and type(None) in options:
        return None
    if get_origin(options[0]) is tuple:
        if isinstance(value, list) and all(type(item) is int for item in value):
            return tuple(value)
        raise ValueError(f"{name} must be a list of whole numbers, not {str(value)[:40]!r}")
    if options[0] is float and type(value) is int:
        return float(value)
    if type(value) is not options[0]:
        raise ValueError(f"{name} must be of type {options[0].__name__}, not {value!r}")
    return value
