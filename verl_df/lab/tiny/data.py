# SPDX-License-Identifier: Apache-2.0
"""A few rows of the toy world in each form that a run reads: data for tiny models."""

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

from verl_df.lab.toy.data import Example, examples, rl_row, sft_row, write_parquet
from verl_df.lab.toy.settings import ToySettings
from verl_df.prompts.messages import repair_messages


def write_rows(kind: str, count: int, path: Path) -> None:
    """Write `count` rows as parquet.

    Args:
        kind: a key of `KINDS`: "rl", prompts of verl's RL format; "repair_tasks", those with a wrong response and a
            reference; "sft", repairs in verl's SFT format.
        count: rows.
        path: the file; its folder is made.
    """
    drawn = islice(examples("rl_train", count, ToySettings()), count)
    write_parquet([KINDS[kind](example) for example in drawn], path)


def _task(example: Example) -> dict[str, Any]:
    answer = example.answer()
    task = {"response": answer, "response_ids": [0], "reference": answer, "reference_kind": "answer"}
    return rl_row(example) | {"repair_task": task}


def _repair(example: Example) -> dict[str, Any]:
    prompt = repair_messages(example.prompt(), example.answer(), example.answer(), None)
    return sft_row(example.images(), prompt[-1]["content"], example.answer())


KINDS: dict[str, Callable[[Example], dict[str, Any]]] = {"rl": rl_row, "repair_tasks": _task, "sft": _repair}
