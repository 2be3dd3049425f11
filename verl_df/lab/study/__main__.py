# SPDX-License-Identifier: Apache-2.0
"""Studies: arms x seeds x worlds of training runs, with tables and tests.

    verl-df study run examples/studies/controls.yaml --out outputs/controls
    verl-df study run examples/studies/controls.yaml --out outputs/controls --ray auto --gpus 8
    verl-df study table examples/studies/controls.yaml --out outputs/controls

`run` trains what has no result yet, `--jobs` at a time on this machine or with `--ray` on those of a cluster, and may
be stopped anywhere; several processes may share the folder. `table` writes the tables of what is finished. With
`--results FILE.jsonl` results are kept in that file too, and what is in it is not trained again: it is what a
repository keeps of a study.
"""

import argparse
import sys
from pathlib import Path

from verl_df import cli
from verl_df.lab.study.kept import kept_results
from verl_df.lab.study.launchers import OnRay, here
from verl_df.lab.study.runner import finished, run_study
from verl_df.lab.study.settings import read_study, runs_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    run_ = commands.add_parser("run", help="train what is missing, then write the tables")
    table = commands.add_parser("table", help="write the tables of what is finished")
    for one in (run_, table):
        one.add_argument("study", type=Path, metavar="FILE.yaml", help="the study")
        one.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the study")
        one.add_argument("--results", type=Path, metavar="FILE.jsonl", help="results that are kept beside the folder")
    run_.add_argument("--jobs", type=int, metavar="N", help="runs at a time (1; with --ray as many as it has room for)")
    run_.add_argument("--ray", metavar="ADDRESS", help="start the runs on the machines of this Ray cluster")
    run_.add_argument("--cpus", type=int, default=2, help="CPUs that a run needs, for --ray (%(default)s)")
    run_.add_argument("--gpus", type=int, default=0, help="GPUs that a run needs, for --ray (%(default)s)")
    for name in ("arm", "world", "seed"):
        kind = int if name == "seed" else str
        run_.add_argument(f"--{name}", action="append", type=kind, help=f"this {name} only; may be repeated")


def run(arguments: argparse.Namespace) -> None:
    """Run a command."""
    study = read_study(arguments.study)
    runs = runs_of(study)
    if arguments.command == "run":
        wanted = [run for run in runs if all(_wanted(arguments, run, name) for name in ("arm", "world", "seed"))]
        if not wanted:
            raise ValueError(f"{arguments.study} has no such run: arms {list(study.rows)}, worlds {list(study.worlds)}")
        if arguments.jobs is not None and arguments.jobs < 1:
            raise ValueError(f"--jobs={arguments.jobs}: give at least 1")
        done = {} if arguments.results is None else kept_results(runs, arguments.results)
        wanted = [run for run in wanted if run.name not in done]
        launch = OnRay(arguments.ray, arguments.cpus, arguments.gpus) if arguments.ray and wanted else here
        jobs = arguments.jobs or (max(1, len(wanted)) if arguments.ray else 1)
        failed = run_study(wanted, runs, study.script, arguments.out.resolve(), arguments.results, jobs, launch)
        if failed:
            raise ValueError(f"{len(failed)} runs failed: {', '.join(failed)}; the same command tries them again")
    from verl_df.lab.study.tables import write_tables

    print(write_tables(study, finished(runs, arguments.out, arguments.results), arguments.out))


def _wanted(arguments: argparse.Namespace, run: object, name: str) -> bool:
    chosen = getattr(arguments, name)
    return chosen is None or getattr(run, name) in chosen


if __name__ == "__main__":
    sys.exit(cli.main(["study", *sys.argv[1:]]))
