# SPDX-License-Identifier: Apache-2.0
"""The folder of one evaluation: settings.json, tasks.jsonl and samples.jsonl, from which the reports are made."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from verl_df.io.files import write_json
from verl_df.lab.repair_eval.outcomes import Outcome, Row, collect_outcomes
from verl_df.lab.repair_eval.records import SampleRecord, TaskRecord, read_records, to_json_line, write_records

SETTINGS, TASKS, SAMPLES = "settings.json", "tasks.jsonl", "samples.jsonl"


@dataclass(frozen=True)
class Evaluation:
    """A finished evaluation. settings: as written when it ran; holds "threshold"."""

    folder: Path
    settings: dict[str, Any]
    tasks: list[TaskRecord]
    samples: list[SampleRecord]

    def outcomes(self) -> dict[Row, list[Outcome]]:
        """See `collect_outcomes`. Raises: ValueError for records that do not fit together."""
        try:
            return collect_outcomes(self.tasks, self.samples, self.settings["threshold"])
        except ValueError as error:
            raise ValueError(f"{self.folder / SAMPLES}: {error}") from error


class FolderWriter:
    """Writes an evaluation while it runs: samples go to a temporary file, which gets its name at the end.

    A context manager; after an error the samples so far stay in `samples.jsonl.tmp`.

    Raises:
        ValueError: the folder holds a finished evaluation.
    """

    def __init__(self, folder: Path, settings: dict[str, Any], tasks: Sequence[TaskRecord]) -> None:
        check_new(folder)
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / SETTINGS, settings)
        write_records(folder / TASKS, tasks)
        self._path = folder / SAMPLES
        self._temporary = self._path.with_name(SAMPLES + ".tmp")
        self._file = self._temporary.open("w", encoding="utf-8")

    def write(self, record: SampleRecord) -> None:
        self._file.write(to_json_line(record) + "\n")

    def __enter__(self) -> "FolderWriter":
        return self

    def __exit__(self, kind: object, *exception: object) -> None:
        self._file.close()
        if kind is None:
            self._temporary.rename(self._path)


def check_new(folder: Path) -> None:
    """Raise ValueError where `folder` holds a finished evaluation."""
    if (folder / SAMPLES).exists():
        raise ValueError(
            f"{folder} holds a finished evaluation: choose another --out, or compute its figures again with --from"
        )


def read_evaluation(folder: Path) -> Evaluation:
    """Read a finished evaluation.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is broken; the message names the file and the line.
    """
    for name in (SETTINGS, TASKS, SAMPLES):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder} holds no {name}: it is no finished evaluation")
    try:
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        threshold = settings["threshold"]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{folder / SETTINGS}: not the settings of an evaluation ({error!r})") from error
    if not isinstance(threshold, int | float):
        raise ValueError(f"{folder / SETTINGS}: threshold is {threshold!r}, not a number")
    tasks = list(read_records(folder / TASKS, TaskRecord))
    return Evaluation(folder, settings, tasks, list(read_records(folder / SAMPLES, SampleRecord)))
