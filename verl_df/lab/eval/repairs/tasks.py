# SPDX-License-Identifier: Apache-2.0
"""Repair-task rows: verl's multimodal row for the prompt x, plus a wrong response y and its reference a."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from verl_df.io.streams import parquet_rows
from verl_df.lab.eval.problems import digest, unique_names
from verl_df.lab.eval.repairs.records import TaskRecord
from verl_df.lab.rl_data import Prompt, RLData
from verl_df.method.checks import check_choice
from verl_df.method.records import REFERENCE_KINDS

_COLUMN = "repair_task"
_KEYS = ("response", "response_ids", "reference", "reference_kind")


@dataclass(frozen=True)
class RepairTask:
    """One row.

    Attributes:
        index: row number in the file, from 0.
        images: how many x has.
        record: what is kept of the row; without its true mask.
    """

    index: int
    data_source: str
    images: int
    ground_truth: Any
    extra_info: dict[str, Any]
    record: TaskRecord

    @property
    def id(self) -> str:
        """Of x, y and a."""
        return self.record.task_id


@dataclass(frozen=True)
class RepairTasks:
    """The tasks of a file; prompts with their images are read when asked for."""

    rows: RLData
    tasks: list[RepairTask]

    def prompts(self, wanted: Sequence[RepairTask]) -> Iterator[tuple[RepairTask, Prompt]]:
        """The wanted tasks, in the order of the file, with their prompts."""
        by_index = {task.index: task for task in wanted}
        for prompt in self.rows.prompts(by_index.keys()):
            yield by_index[prompt.index], prompt


def read_tasks(path: Path, limit: int | None = None) -> RepairTasks:
    """Read a parquet file of repair tasks.

    Two rows with the same x, y and a get different ids (a number is appended), so that they pair by their order.

    Args:
        path: the file.
        limit: rows to read; None: all.

    Raises:
        ValueError: no parquet file, a missing column, no rows, or a row that is broken; the message names the row.
        FileNotFoundError: no such file.
    """
    rows = RLData(path, text_only=True)
    columns = pq.read_schema(path).names
    if _COLUMN not in columns:
        raise ValueError(f"{path}: no column {_COLUMN!r} (it has {', '.join(columns)})")
    wanted = range(rows.rows if limit is None else min(limit, rows.rows))
    if not wanted:
        raise ValueError(f"{path}: there are no rows to evaluate")
    asked = [row[_COLUMN] for _, row in parquet_rows(path, wanted, [_COLUMN])]
    for number, task in enumerate(asked):
        try:
            _check(task or {})
        except ValueError as error:
            raise ValueError(f"{path}, row {number}: {error}") from error
    rows.check(wanted)
    tasks = [_task(prompt, asked[prompt.index]) for prompt in rows.prompts(wanted)]
    names = unique_names(task.id for task in tasks)
    named = [replace(task, record=replace(task.record, task_id=name)) for task, name in zip(tasks, names, strict=True)]
    return RepairTasks(rows, named)


def _check(task: Mapping[str, Any]) -> None:
    missing = [key for key in _KEYS if task.get(key) is None]
    if missing:
        raise ValueError(f"{_COLUMN} lacks {missing}")
    check_choice(f"{_COLUMN}.reference_kind", task["reference_kind"], REFERENCE_KINDS)
    if not task["response_ids"]:
        raise ValueError(f"{_COLUMN}.response_ids is empty: there is nothing to repair")


def _task(prompt: Prompt, task: Mapping[str, Any]) -> RepairTask:
    messages = [{"role": message["role"], "content": message["content"]} for message in prompt.messages]
    images = [hashlib.sha256(image).hexdigest() for image in prompt.images]
    prompt_id = digest(messages, images, prompt.ground_truth)
    record = TaskRecord(
        task_id=digest(prompt_id, task["response_ids"], task["reference"], task["reference_kind"]),
        prompt_id=prompt_id,
        reference_kind=task["reference_kind"],
        question=messages[-1]["content"],
        ground_truth=str(prompt.ground_truth),
        reference=task["reference"],
        response=task["response"],
        response_ids=tuple(task["response_ids"]),
        truth_mask=None,
    )
    return RepairTask(prompt.index, prompt.data_source, len(images), prompt.ground_truth, prompt.extra_info, record)
