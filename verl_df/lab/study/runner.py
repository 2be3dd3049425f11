# SPDX-License-Identifier: Apache-2.0
"""Runs what a study still lacks, one after the other; several processes may share a study's folder."""

import os
import subprocess
import sys
from pathlib import Path

from verl_df.io.lock import InUse, only_writer
from verl_df.lab.study.kept import keep, kept_results
from verl_df.lab.study.results import RESULTS, VALIDATION, Result, read_result, same_settings
from verl_df.lab.study.settings import Run
from verl_df.platform.watch.parents import ending_with_this_process

RESULT = "result.jsonl"
CLAIM = "study"  # a lock beside the run's own, which the launch script takes


def run_study(runs: list[Run], script: str, out: Path, results: Path | None = None) -> list[str]:
    """Run every run that has no result yet.

    Args:
        runs: of the study.
        script: the launch script.
        out: folder of the study. A run's own folder holds its log and its result.
        results: a file of results, to which what is finished here is added.

    Returns:
        names of the runs that failed; the others are done, or another process is at them.

    Raises:
        ValueError: the folder holds a result of other settings.
    """
    failed = []
    for number, run in enumerate(runs, start=1):
        folder = out / run.name
        try:
            with only_writer(folder, CLAIM):
                result = kept_result(run, folder)
                if result is None:
                    print(f"study: {run.name}, {number} of {len(runs)}", flush=True)
                    if _train(run, script, folder) != 0:
                        print(f"study: {run.name} failed: see {folder / 'run.log'}", file=sys.stderr, flush=True)
                        failed.append(run.name)
                        continue
                    result = read_result(run, folder)
                    RESULTS.write(folder / RESULT, [result])
                if results is not None:
                    keep(result, results)
        except InUse:
            continue
    return failed


def kept_result(run: Run, folder: Path) -> Result | None:
    """The result of a run that is finished; None where it is not.

    Raises:
        ValueError: it has other settings than the study's file.
    """
    if not (folder / RESULT).exists():
        return None
    (result,) = RESULTS.read(folder / RESULT)
    if not same_settings(result, run):
        raise ValueError(
            f"{folder}: finished with other settings than the study's file has now; move the folder away, or take "
            "another --out"
        )
    return result


def finished(runs: list[Run], out: Path | None, results: Path | None) -> list[Result]:
    """What is finished of a study, in the order of its runs.

    Args:
        runs: of the study.
        out: its folder, or None.
        results: a file of results, or None; it comes before the folder.

    Raises:
        ValueError: one has other settings than the study's file.
    """
    found = {} if results is None else kept_results(runs, results)
    for run in runs:
        if out is not None and run.name not in found and (one := kept_result(run, out / run.name)) is not None:
            found[run.name] = one
    return [found[run.name] for run in runs if run.name in found]


def _train(run: Run, script: str, folder: Path) -> int:
    """Exit code of the launch script, which goes on with a run that was interrupted."""
    overrides = [*run.overrides, f"trainer.validation_data_dir={folder / VALIDATION}"]
    environment = {**ending_with_this_process(os.environ), **run.env, "OUT": str(folder), "BRIEF": "1"}
    return subprocess.run(["bash", script, *overrides], env=environment, check=False).returncode
