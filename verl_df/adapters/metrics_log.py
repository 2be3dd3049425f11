# SPDX-License-Identifier: Apache-2.0
"""verl's `file` logger, for a run that goes on.

verl opens `metrics.jsonl` anew, and what an interrupted run had logged is lost. Here the steps before the checkpoint
stay and those after it, which are done again, go: the file holds every step once.
"""

import os
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any

import orjson

from verl_df.io.json_lines import cut_half_line, read_lines
from verl_df.io.lock import only_writer
from verl_df.io.metrics import parse_metrics
from verl_df.platform.patching import replace_everywhere


class GoingOnFileLogger:
    """Takes the place of `verl.utils.tracking.FileLogger`: the same file, and the same lines from this run."""

    def __init__(self, project_name: str, experiment_name: str) -> None:
        self.filepath = metrics_path(project_name, experiment_name)
        self._lock = ExitStack()
        self.fp: Any = None  # nothing is touched before the first entry, whose step says where the run goes on
        print(f"Creating file logger at {os.path.abspath(self.filepath)}")

    def log(self, data: dict[str, Any], step: int) -> None:
        """Append a step's metrics.

        Raises:
            OSError: the disk is full.
            ValueError: another run writes the file, or the file of the run that this one goes on with holds something
                else than metrics.
        """
        if self.fp is None:
            path = self.filepath
            self._lock.enter_context(only_writer(path.parent, path.name))
            begin(path, data, step)
            self.fp = self.filepath.open("ab", buffering=0)
        else:
            self.fp.write(_line(step, data))

    def finish(self) -> None:
        """Close the file."""
        if self.fp is not None:
            self.fp.close()
            self._lock.close()


def metrics_path(project_name: str, experiment_name: str) -> Path:
    """Where verl's logger writes; its folder is made."""
    path = os.getenv("VERL_FILE_LOGGER_PATH")
    if path is None:
        root = os.path.expanduser(os.getenv("VERL_FILE_LOGGER_ROOT", "."))
        path = os.path.join(root, project_name, f"{experiment_name}.jsonl")
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    return Path(path)


def begin(path: Path, data: dict[str, Any], step: int) -> None:
    """Cut the file back to the steps before `step`, and log that one.

    A run from scratch begins with step 0, the validation before training, or with 1: nothing stays. One that goes on
    after step N begins with N + 1, or with N, when it validates first: what N's training had logged stays, too.
    """
    entries = []
    if step > 1 and path.exists():
        cut_half_line(path)  # of a run that was killed
        entries = [entry for _, entry in read_lines(path, parse_metrics)]
    before: dict[str, Any] = {}
    for logged, own in entries:
        before |= own if logged == step else {}
    kept = [_line(logged, own) for logged, own in entries if logged < step]
    part = path.with_name(f"{path.name}.part")
    part.write_bytes(b"".join([*kept, _line(step, before | data)]))
    part.replace(path)


def _line(step: int, data: dict[str, Any]) -> bytes:
    return orjson.dumps({"step": step, "data": data}, option=orjson.OPT_SERIALIZE_NUMPY) + b"\n"


def patch(tracking: ModuleType) -> None:
    """Put the logger in the place of verl's. `tracking`: the module `verl.utils.tracking`."""
    replace_everywhere(tracking, "FileLogger", GoingOnFileLogger)
