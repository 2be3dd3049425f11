# SPDX-License-Identifier: Apache-2.0
"""Evaluations of repair models in their folders, finished or not.

Samples get their name, samples.jsonl, at the end: how many there will be depends on which of them are right.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from verl_df.lab.command_line import named_folders
from verl_df.lab.eval.folder import RunFolder
from verl_df.lab.eval.repairs.outcomes import Outcome, Row, collect_outcomes
from verl_df.lab.eval.repairs.records import SAMPLES, TASKS, SampleRecord, TaskRecord
from verl_df.lab.eval.repairs.settings import AGAIN, COPY
from verl_df.method.checks import did_you_mean


class RepairFolder(RunFolder[TaskRecord]):
    """The folder of an evaluation of repair models."""

    rows_name, lines = "tasks.jsonl", TASKS
    free = frozenset({"reward_workers", "engine", "rows_judged_right"})
    needed: ClassVar = {"threshold": float}

    @property
    def growing(self) -> Path:
        """Where samples are while the evaluation runs."""
        return self.root / "samples.jsonl.tmp"

    def check_unfinished(self) -> None:
        """Raise ValueError where the folder holds a finished evaluation."""
        if self.samples.exists():
            raise ValueError(
                f"{self.root} holds a finished evaluation: choose another --out, or compute its figures again with "
                "--from"
            )


@dataclass(frozen=True)
class Evaluation:
    """A finished evaluation. settings: as written when it ran; holds "threshold"."""

    settings: dict[str, Any]
    tasks: list[TaskRecord]
    samples: list[SampleRecord]
    path: Path

    def outcomes(self) -> dict[Row, list[Outcome]]:
        """See `collect_outcomes`. Raises: ValueError for records that do not fit together."""
        try:
            return collect_outcomes(self.tasks, self.samples, self.settings["threshold"])
        except ValueError as error:
            raise ValueError(f"{self.path}: {error}") from error


@dataclass(frozen=True)
class Group:
    """Several runs (training seeds) of one thing. runs: the outcomes of each, of one method."""

    name: str
    runs: tuple[tuple[Outcome, ...], ...]

    @property
    def outcomes(self) -> list[Outcome]:
        """Those of all runs."""
        return [outcome for run in self.runs for outcome in run]


def read_evaluation(root: Path) -> Evaluation:
    """Read a finished evaluation.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is broken; the message names the file and the line.
    """
    folder = RepairFolder(root)
    settings, tasks = folder.read_settings(), folder.read_rows()
    return Evaluation(settings, tasks, list(SAMPLES.read(folder.samples)), folder.samples)


def parse_group(text: str) -> Group:
    """Read `NAME=DIR[#METHOD][,DIR[#METHOD]...]`.

    METHOD is needed where an evaluation holds more than one repair model.

    Raises:
        ValueError: another form, no such method, or several to choose from.
        FileNotFoundError: no finished evaluation there.
    """
    name, folders = named_folders(text)
    return Group(name, tuple(_run(folder, method) for folder, method in folders))


def _run(folder: Path, method: str) -> tuple[Outcome, ...]:
    rows = read_evaluation(folder).outcomes()
    sampled = {name: outcomes for (name, decoding), outcomes in rows.items() if decoding != "greedy"}
    if not method:
        repairs = [name for name in sampled if name not in (AGAIN, COPY)]
        if len(repairs) != 1:
            raise ValueError(f"{folder} holds {len(repairs)} repair models; write {folder}#NAME, one of {repairs}")
        method = repairs[0]
    if method not in sampled:
        hint = did_you_mean(method, list(sampled)) or f"it has {', '.join(sampled)}"
        raise ValueError(f"{folder} has no method {method!r}: {hint}")
    return tuple(sampled[method])
