# SPDX-License-Identifier: Apache-2.0
"""How good repair models are on held-out wrong responses.

    verl-df repair-eval --data repair_tasks.parquet --repair stage1=MODEL [--repair stage2=MODEL2] --out DIR
    verl-df repair-eval --from DIR                                  compute the figures again, without a model
    verl-df repair-eval compare --group stage1=DIR1,DIR2 --group stage2=DIR3,DIR4 --out DIR
    verl-df repair-eval lambda --point 0.2=DIR1 --point 0.5=DIR2,DIR3 --out DIR

Writes repair_eval.json, .md and .svg, and every sample to samples.jsonl; goes on where it was ended. `verl-df eval
repairs` is the same command.
"""

import argparse
import sys
from pathlib import Path

from verl_df import cli
from verl_df.io.lock import only_writer
from verl_df.lab.command_line import add_options, engine_arguments, named_values
from verl_df.lab.eval.repairs.settings import RepairSettings

# What computes is imported by the command that runs: it takes seconds.


def run(arguments: argparse.Namespace) -> None:
    """Run a command, or evaluate where none is given."""
    print({None: _evaluate, "compare": _compare, "lambda": _lambda}[arguments.repairs](arguments))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    add = parser.add_argument
    add("--out", type=Path, metavar="DIR", help="folder for the results; an unfinished evaluation goes on")
    add("--from", dest="again", type=Path, metavar="DIR", help="compute figures, table and plot of DIR again")
    add_options(parser, RepairSettings)
    commands = parser.add_subparsers(dest="repairs", metavar="command")
    form = "DIR[#METHOD],DIR[#METHOD],..."
    compared = commands.add_parser("compare", help="several runs, paired")
    compared.add_argument("--group", action="append", required=True, metavar=f"NAME={form}", help="one thing; repeat")
    sweep = commands.add_parser("lambda", help="runs at several weights of the edit penalty, as table 3")
    sweep.add_argument("--point", action="append", required=True, metavar=f"LAMBDA={form}", help="one λ; repeat")
    for one in (compared, sweep):
        one.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for what is computed")


def _evaluate(arguments: argparse.Namespace) -> str:
    from verl_df.lab.eval.repairs.report import write_report

    given = {name: value for name, value in vars(arguments).items() if name not in ("command", "repairs")}
    again, out = given.pop("again"), given.pop("out")
    if again is not None:
        return write_report(again)
    missing = [f"--{name}" for name in ("data", "repair") if name not in given] + ([] if out else ["--out"])
    if missing:
        raise ValueError(f"{', '.join(missing)} must be given, or --from with a finished evaluation")
    from verl_df.lab.eval.repairs.run import run_repairs

    given["repair"] = named_values("--repair", given["repair"])
    if "engine" in given:
        given["engine"] = engine_arguments(given["engine"])
    settings = RepairSettings(**given)
    with only_writer(out):
        run_repairs(settings, out)
    return write_report(out)


def _compare(arguments: argparse.Namespace) -> str:
    from verl_df.lab.eval.repairs.compare import write_comparison
    from verl_df.lab.eval.repairs.finished import parse_group

    return write_comparison([parse_group(text) for text in arguments.group], arguments.out)


def _lambda(arguments: argparse.Namespace) -> str:
    from verl_df.lab.eval.repairs.sweep import parse_point, write_sweep

    return write_sweep([parse_point(text) for text in arguments.point], arguments.out)


if __name__ == "__main__":
    sys.exit(cli.main(["repair-eval", *sys.argv[1:]]))
