# SPDX-License-Identifier: Apache-2.0
"""Build a repair set for a policy: sample, annotate, import, write verl's parquet.

    verl-df repair-data sample --model POLICY --data train.parquet --out DIR
    verl-df repair-data export DIR --format html
    verl-df repair-data import DIR annotations.jsonl
    verl-df repair-data parquet DIR --out-sft repair_sft.parquet --out-rl repair_tasks.parquet

`targets` takes the annotator's place where a task can compute y*. Each command has its own --help.
"""

import argparse
import sys

from verl_df import cli
from verl_df.lab.repair_data.imports import BrokenAnnotations
from verl_df.lab.repair_data.options import add_parsers


def run(arguments: argparse.Namespace) -> None:
    """Run a command; one line on stderr for each broken annotation, before the error."""
    try:
        arguments.run(arguments)
    except BrokenAnnotations as error:
        print(*error.report.broken_lines(), *error.report.lines(), sep="\n", file=sys.stderr)
        raise


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    add_parsers(parser)


if __name__ == "__main__":
    sys.exit(cli.main(["repair-data", *sys.argv[1:]]))
