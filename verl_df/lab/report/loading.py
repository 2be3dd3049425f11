# SPDX-License-Identifier: Apache-2.0
"""Read the files of a run folder, with errors that say which file is missing or malformed and what writes it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from verl_df.io.files import read_object
from verl_df.io.json_lines import read_lines
from verl_df.io.metrics import parse_metrics
from verl_df.method.records import PAIRS, PairRecord

METRICS_FILE = "metrics.jsonl"
PAIRS_FILE = "pairs.jsonl"
SUMMARY_FILE = "summary.json"
REPAIR_EVAL_FILE = "repair_eval.json"
IMAGES_DIR = "images"

METRICS_WRITER = (
    "verl's file logger writes it: put 'file' into trainer.logger and set VERL_FILE_LOGGER_PATH to this file"
)
PAIRS_WRITER = (
    "a run with df.group.mode other than off writes it to df.log.dir (default: <trainer.default_local_dir>/df) once a "
    "rollout was wrong, unless df.log.pairs_per_step is 0; put it, with its images folder, beside " + METRICS_FILE
)

_LARGEST = 1e100
Curve = tuple[tuple[int, float], ...]
"""The (step, value) points of one metric, steps ascending."""


@dataclass(frozen=True)
class RunData:
    """Everything the report shows.

    Attributes:
        path: the run folder.
        curves: metric name -> points, as verl logged them.
        pairs: the error/repair records, in the order written.
        summary: ``summary.json`` (``title``, key figures, settings), empty where the run has none.
        repair_eval: ``repair_eval.json``, empty where the run has none.
    """

    path: Path
    curves: dict[str, Curve]
    pairs: tuple[PairRecord, ...]
    summary: dict[str, Any]
    repair_eval: dict[str, Any]


def load_run(path: Path) -> RunData:
    """Read a run folder.

    Raises:
        FileNotFoundError: the folder, ``metrics.jsonl`` or ``pairs.jsonl`` is missing.
        ValueError: a file is malformed; the message has file, line and reason.
    """
    if not path.is_dir():
        raise FileNotFoundError(f"run folder {path} not found: give the one that holds {METRICS_FILE} and {PAIRS_FILE}")
    _require(path / METRICS_FILE, METRICS_WRITER)
    _require(path / PAIRS_FILE, PAIRS_WRITER)
    return RunData(
        path=path,
        curves=read_curves(path / METRICS_FILE),
        pairs=tuple(PAIRS.read(path / PAIRS_FILE)),
        summary=_read_if_there(path / SUMMARY_FILE),
        repair_eval=_read_if_there(path / REPAIR_EVAL_FILE),
    )


def read_curves(path: Path) -> dict[str, Curve]:
    """Read ``{"step": int, "data": {name: number}}`` lines, the format of verl's file logger.

    Validation and training of one step may come as two lines; a step logged twice (a resumed run) keeps its last value.
    ``null`` is how the logger writes NaN and infinity: such points are left out, as are values that are not numbers,
    and those beyond 1e100 either way, which no chart could hold beside others.

    Raises:
        ValueError: a line is not of this format, or there is none.
    """
    points: dict[str, dict[int, float]] = {}
    for _, (step, data) in read_lines(path, parse_metrics):
        for name, value in data.items():
            if isinstance(value, int | float) and not isinstance(value, bool) and -_LARGEST < value < _LARGEST:
                points.setdefault(name, {})[step] = float(value)
    if not points:
        raise ValueError(f"{path} holds no metrics: the run ended before its first step was logged")
    return {name: tuple(sorted(by_step.items())) for name, by_step in points.items()}


def _require(path: Path, writer: str) -> None:
    if not path.is_file():
        raise FileNotFoundError(f"{path} not found: {writer}")


def _read_if_there(path: Path) -> dict[str, Any]:
    return read_object(path) if path.is_file() else {}
