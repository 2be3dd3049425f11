# SPDX-License-Identifier: Apache-2.0
"""Runs what a study still lacks; several processes may share a study's folder."""

import sys
from pathlib import Path

from verl_df.io.lock import InUse, only_writer
from verl_df.lab.study.budgets import NotKnownYet, budget_override, check_before, check_likes, granted_to
from verl_df.lab.study.kept import keep, kept_results
from verl_df.lab.study.launchers import Launcher, here
from verl_df.lab.study.queue import work_off
from verl_df.lab.study.results import RESULTS, VALIDATION, Result, read_result, same_settings
from verl_df.lab.study.settings import Run

RESULT = "result.jsonl"
CLAIM = "study"  # a lock beside the run's own, which the launch script takes


def run_study(
    wanted: list[Run],
    study: list[Run],
    script: str,
    out: Path,
    results: Path | None = None,
    jobs: int = 1,
    launch: Launcher = here,
) -> list[str]:
    """Run every run that has no result yet.

    Args:
        wanted: these of the study.
        study: all of it.
        script: the launch script.
        out: folder of the study. A run's own folder holds its log and its result.
        results: a file of results, to which what is finished here is added.
        jobs: runs at a time.
        launch: starts the script.

    Returns:
        names of the runs that failed; the others are done, or another process is at them.

    Raises:
        ValueError: the folder holds a result of other settings, or nothing can make a run's budget known.
    """
    check_before(wanted, _by_name(study, out, results))
    failed: list[str] = []

    def work(run: Run) -> None:
        try:
            with only_writer(out / run.name, CLAIM):
                result = kept_result(run, out / run.name)
                if result is None:
                    print(f"study: {run.name}, {wanted.index(run) + 1} of {len(wanted)}", flush=True)
                    result = _trained(run, study, script, out, results, launch)
                if result is None:
                    failed.append(run.name)
                elif results is not None:
                    keep(result, results)
        except InUse:
            pass  # another process is at it

    work_off(wanted, work, jobs)
    return failed


def _trained(
    run: Run, study: list[Run], script: str, out: Path, results: Path | None, launch: Launcher
) -> Result | None:
    """The result of a run that is trained now; None where it failed, or where its budget is not known yet."""
    folder = out / run.name
    try:
        granted = () if run.budget is None else granted_to(run, _by_name(study, out, results))
    except NotKnownYet as error:  # the other runs go on
        print(f"study: {error}", file=sys.stderr, flush=True)
        return None
    # the script goes on with a run that was interrupted
    overrides = [*run.overrides, *budget_override(granted), f"trainer.validation_data_dir={folder / VALIDATION}"]
    if launch(["bash", script, *overrides], {**run.env, "OUT": str(folder), "BRIEF": "1"}) != 0:
        print(f"study: {run.name} failed: see {folder / 'run.log'}", file=sys.stderr, flush=True)
        return None
    result = read_result(run, folder, granted)
    RESULTS.write(folder / RESULT, [result])
    return result


def _by_name(study: list[Run], out: Path, results: Path | None) -> dict[str, Result]:
    return {result.name: result for result in finished(study, out, results)}


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
        ValueError: one has other settings than the study's file, or got the device time of a result that has changed.
    """
    found = {} if results is None else kept_results(runs, results)
    for run in runs:
        if out is not None and run.name not in found and (one := kept_result(run, out / run.name)) is not None:
            found[run.name] = one
    ordered = [found[run.name] for run in runs if run.name in found]
    check_likes(ordered, runs)
    return ordered
