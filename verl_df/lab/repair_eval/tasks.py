# SPDX-License-Identifier: Apache-2.0
"""Repair-task rows: verl's multimodal row for the prompt x, plus a wrong response y and its reference a."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from PIL import Image
from pyarrow import ArrowInvalid

from verl_df.method.checks import check_choice
from verl_df.method.records import REFERENCE_KINDS

_COLUMNS = ("data_source", "prompt", "reward_model", "repair_task")
_TASK_KEYS = ("response", "response_ids", "reference", "reference_kind")
_ROWS_AT_ONCE = 64
_MARKER = "<image>"


@dataclass(frozen=True)
class RepairTask:
    """One row. messages: x in verl's chat form; images: encoded, one for each `<image>` marker; response_ids: y."""

    task_id: str
    prompt_id: str
    data_source: str
    messages: list[dict[str, Any]]
    images: tuple[bytes, ...]
    ground_truth: Any
    extra_info: dict[str, Any]
    response: str
    response_ids: tuple[int, ...]
    reference: str
    reference_kind: str

    def pictures(self) -> list[Image.Image]:
        """The images, decoded, RGB."""
        return [Image.open(BytesIO(image)).convert("RGB") for image in self.images]


def read_tasks(path: Path, limit: int | None = None) -> list[RepairTask]:
    """Read a parquet file of repair tasks.

    Two rows with the same x, y and a get different ids (a number is appended), so that they pair by their order.

    Args:
        path: the file.
        limit: rows to read; None: all.

    Raises:
        ValueError: no parquet file, a missing column, no rows, or a row that is broken; the message names the row.
        FileNotFoundError: no such file.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; give a parquet file of repair tasks with --data")
    tasks: list[RepairTask] = []
    seen: Counter[str] = Counter()
    for number, row in _rows(path):
        if limit is not None and len(tasks) >= limit:
            break
        try:
            task = _task(row, path.parent)
        except (ValueError, OSError) as error:
            raise ValueError(f"{path}, row {number}: {error}") from error
        seen[task.task_id] += 1
        again = seen[task.task_id]
        tasks.append(task if again == 1 else replace(task, task_id=f"{task.task_id}-{again}"))
    if not tasks:
        raise ValueError(f"{path}: there are no rows to evaluate")
    return tasks


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        file = pq.ParquetFile(path)
    except ArrowInvalid as error:
        raise ValueError(f"{path}: not a parquet file ({error})") from error
    missing = [name for name in _COLUMNS if name not in file.schema_arrow.names]
    if missing:
        raise ValueError(f"{path}: missing columns {missing}; repair tasks have {', '.join(_COLUMNS)}, images")
    number = 0
    for batch in file.iter_batches(_ROWS_AT_ONCE):
        for row in batch.to_pylist():
            yield number, row
            number += 1


def _task(row: Mapping[str, Any], folder: Path) -> RepairTask:
    wanted = row["repair_task"] or {}
    missing = [key for key in _TASK_KEYS if wanted.get(key) is None]
    if missing:
        raise ValueError(f"repair_task lacks {missing}")
    check_choice("repair_task.reference_kind", wanted["reference_kind"], REFERENCE_KINDS)
    if not wanted["response_ids"]:
        raise ValueError("repair_task.response_ids is empty: there is nothing to repair")
    if row.get("videos"):
        raise ValueError("the row has videos: this evaluation takes prompts with text and images")
    messages = _messages(row["prompt"])
    images = tuple(_image_bytes(image, folder) for image in row.get("images") or [])
    markers = sum(message["content"].count(_MARKER) for message in messages)
    if markers != len(images):
        raise ValueError(f"the prompt has {markers} {_MARKER} markers for {len(images)} images")
    ground_truth = (row["reward_model"] or {}).get("ground_truth")
    if ground_truth is None:
        raise ValueError("reward_model.ground_truth is missing: the answer cannot be judged")
    prompt_id = _digest(messages, [hashlib.sha256(image).hexdigest() for image in images], ground_truth)
    return RepairTask(
        task_id=_digest(prompt_id, wanted["response_ids"], wanted["reference"], wanted["reference_kind"]),
        prompt_id=prompt_id,
        data_source=row["data_source"],
        messages=messages,
        images=images,
        ground_truth=ground_truth,
        extra_info=row.get("extra_info") or {},
        response=wanted["response"],
        response_ids=tuple(wanted["response_ids"]),
        reference=wanted["reference"],
        reference_kind=wanted["reference_kind"],
    )


def _messages(prompt: Any) -> list[dict[str, Any]]:
    if not prompt or any(not isinstance(message.get("content"), str) for message in prompt):
        raise ValueError("prompt must be a list of messages with a text as content")
    if prompt[-1].get("role") != "user":
        raise ValueError("the last message of a prompt must be the user's: there is no question to repair an answer to")
    return [{"role": message["role"], "content": message["content"]} for message in prompt]


def _image_bytes(image: Mapping[str, Any], folder: Path) -> bytes:
    """The encoded image, decoded once to see that it can be."""
    if image.get("bytes"):
        content = image["bytes"]
    elif image.get("path"):
        content = (folder / image["path"]).read_bytes()
    else:
        raise ValueError("an image has neither bytes nor path")
    Image.open(BytesIO(content)).load()
    return content


def _digest(*parts: Any) -> str:
    text = json.dumps(parts, ensure_ascii=False, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
