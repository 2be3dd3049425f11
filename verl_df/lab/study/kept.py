# SPDX-License-Identifier: Apache-2.0
"""A file of results, one line a finished run: kept in the repository, it outlives the folder of the runs."""

import time
from pathlib import Path

from verl_df.io.lock import InUse, release, take
from verl_df.lab.study.results import RESULTS, Result, same_settings
from verl_df.lab.study.settings import Run


def kept_results(runs: list[Run], path: Path) -> dict[str, Result]:
    """The results of a file by the name of their run; empty where there is no file.

    Raises:
        ValueError: a run that the study does not have, one that is there twice, or one of other settings.
    """
    if not path.exists():
        return {}
    known, found = {run.name: run for run in runs}, {}
    for result in RESULTS.read(path):
        if result.name not in known:
            raise ValueError(f"{path}: {result.name} is no run of the study; take its line out, or name another file")
        if result.name in found:
            raise ValueError(f"{path}: {result.name} is there twice; take one of its lines out")
        if not same_settings(result, known[result.name]):
            raise ValueError(
                f"{path}: {result.name} was trained with other settings than the study's file has now; take its line "
                "out to train it again, or set the study back"
            )
        found[result.name] = result
    return found


def keep(result: Result, path: Path) -> None:
    """Add a result to a file, sorted by name, whole or not at all; a process that adds another one waits its turn.

    Raises:
        InUse: another process has held the file for a minute.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = _taken(path)
    try:
        others = [one for one in RESULTS.read(path) if one.name != result.name] if path.exists() else []
        RESULTS.write(path, sorted([*others, result], key=lambda one: (one.world, one.arm, one.seed)))
    finally:
        path.with_name(f".{path.name}.lock").unlink(missing_ok=True)
        release(lock)


def _taken(path: Path) -> int:
    until = time.monotonic() + 60
    while True:
        try:
            return take(path.with_name(f".{path.name}.lock"), str(path))
        except InUse:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)
