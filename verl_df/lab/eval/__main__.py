# SPDX-License-Identifier: Apache-2.0
"""Accuracy of policies on benchmarks, and how good repair models are.

    verl-df eval run --model df_gspo=MODEL --data mathvista=mathvista.parquet --out DIR
    verl-df eval run --checkpoint toy=RUN/checkpoints --data toy=val.parquet --greedy --out DIR
    verl-df eval score --run DIR --python LMMS_EVAL/bin/python
    verl-df eval table --run gspo=DIR1,DIR2 --run df_gspo=DIR3,DIR4 --out DIR
    verl-df eval compare --a df_gspo=DIR3,DIR4 --b gspo=DIR1,DIR2 --out DIR
    verl-df eval repairs --help

`run` keeps every response and goes on where it was ended; the others compute from what it kept. `repairs` is
`verl-df repair-eval`.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from verl_df import cli
from verl_df.io.lock import only_writer
from verl_df.lab.command_line import RUNS, add_options, engine_arguments, named_values
from verl_df.lab.eval.repairs import __main__ as repairs
from verl_df.lab.eval.settings import BenchmarkSettings

# What computes is imported by the command that runs: it takes seconds.


def run(arguments: argparse.Namespace) -> None:
    """Run a command."""
    if arguments.command == "repairs":
        repairs.run(arguments)
    else:
        commands = {"run": _run, "score": _score, "table": _table, "compare": _compare}
        print(commands[arguments.command](arguments))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    asked = commands.add_parser("run", help="sample a model on data sets, score and keep every response")
    add = asked.add_argument
    add("--model", metavar="NAME=FOLDER", help="Hugging Face folder; with --server the name that is served")
    add("--checkpoint", metavar="NAME=DIR", help="a checkpoint of verl's (.../global_step_N), merged into --out first")
    add("--out", type=Path, required=True, metavar="DIR", help="folder of the evaluation; an unfinished one goes on")
    add_options(asked, BenchmarkSettings)
    scored = commands.add_parser(
        "score", help="score a finished evaluation again with lmms-eval, in its own environment"
    )
    scored.add_argument("--run", type=Path, required=True, metavar="DIR", help="a finished evaluation")
    scored.add_argument("--python", required=True, metavar="FILE", help="the Python that has lmms-eval installed")
    scored.add_argument("--workers", type=int, default=4, help="responses scored at a time (default: %(default)s)")
    table = commands.add_parser("table", help="runs in the paper's layout: table.md, table.tex, table.json, table.svg")
    table.add_argument("--run", action="append", required=True, metavar=RUNS, help="a row; repeat for more")
    intervals = ("seeds", "problems")
    table.add_argument("--interval", choices=intervals, default="seeds", help="what ± is (default: %(default)s)")
    compared = commands.add_parser("compare", help="two runs with a paired bootstrap test: compare.md, compare.json")
    compared.add_argument("--a", required=True, metavar=RUNS, help="the run whose gain is asked for")
    compared.add_argument("--b", required=True, metavar=RUNS, help="the run that it is compared with")
    for one in (table, compared):
        one.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for what is computed")
        one.add_argument("--scores", metavar="NAME", help="scores that `score` wrote: lmms_eval (default: the run's)")
    repairs.add_arguments(commands.add_parser("repairs", help="how good repair models are"))


def _run(arguments: argparse.Namespace) -> str:
    from verl_df.lab.eval.run import run_benchmarks
    from verl_df.lab.eval.summary import write_summary

    given = vars(arguments)
    settings = _settings({name: given[name] for name in given if name not in ("command", "out")})
    with only_writer(arguments.out):
        run_benchmarks(settings, arguments.out)
        return write_summary(arguments.out)


def _settings(given: dict[str, Any]) -> BenchmarkSettings:
    """The settings of options. Raises: ValueError for options that do not fit together."""
    named = {name: text for name in ("model", "checkpoint") if (text := given.pop(name)) is not None}
    if len(named) != 1:
        raise ValueError("give either --model NAME=FOLDER or --checkpoint NAME=DIR")
    ((option, text),) = named.items()
    ((name, place),) = named_values(f"--{option}", [text]).items()
    given |= {"name": name, "model": None, option: place, "server": "server_url" in given}
    given["data"] = named_values("--data", given["data"])
    given["engine"] = engine_arguments(given.get("engine", []))
    if given.get("greedy"):
        given.setdefault("seeds", 1)
    return BenchmarkSettings(**given)


def _score(arguments: argparse.Namespace) -> str:
    from verl_df.lab.eval.library import score_by_library

    if not arguments.run.is_dir():
        raise FileNotFoundError(f"{arguments.run}: no such folder of an evaluation")
    with only_writer(arguments.run):
        return score_by_library(arguments.run, arguments.python, arguments.workers)


def _table(arguments: argparse.Namespace) -> str:
    from verl_df.lab.eval.figures import parse_run
    from verl_df.lab.eval.tables import write_table

    runs = [parse_run(text, arguments.scores) for text in arguments.run]
    return write_table(runs, arguments.out, arguments.interval)


def _compare(arguments: argparse.Namespace) -> str:
    from verl_df.lab.eval.compare import write_comparison
    from verl_df.lab.eval.figures import parse_run

    a, b = (parse_run(text, arguments.scores) for text in (arguments.a, arguments.b))
    return write_comparison(a, b, arguments.out)


if __name__ == "__main__":
    sys.exit(cli.main(["eval", *sys.argv[1:]]))
