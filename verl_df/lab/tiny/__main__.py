# SPDX-License-Identifier: Apache-2.0
"""Tiny models with random weights, and a few rows of data, for a CPU.

verl-df tiny model qwen3_vl --out FOLDER
verl-df tiny rows rl --out FILE.parquet
"""

import argparse
import sys
from pathlib import Path

from verl_df import cli
from verl_df.lab.tiny import ARCHITECTURES, save_tiny_model


def run(arguments: argparse.Namespace) -> None:
    """Write a model or rows, and print what it is."""
    if arguments.what == "model":
        parameters = save_tiny_model(arguments.architecture, arguments.out, arguments.seed, large=arguments.large)
        print(f"{arguments.out}: {arguments.architecture}, {parameters:,} parameters")
    else:
        from verl_df.lab.tiny.data import write_rows  # seconds of imports

        write_rows(arguments.kind, arguments.count, arguments.out)
        print(f"{arguments.out}: {arguments.count} rows")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    commands = parser.add_subparsers(dest="what", required=True)
    model = commands.add_parser("model", help="a model with random weights")
    model.add_argument("architecture", choices=ARCHITECTURES)
    model.add_argument("--seed", type=int, default=0, help="of weights and tokenizer (default: %(default)s)")
    model.add_argument("--large", action="store_true", help="1.7 billion parameters in bfloat16, for a GPU")
    rows = commands.add_parser("rows", help="rows of the toy world")
    rows.add_argument("kind", choices=("rl", "repair_tasks", "sft"))
    rows.add_argument("--count", type=int, default=16, help="default: %(default)s")
    for command in (model, rows):
        command.add_argument("--out", type=Path, required=True, help="folder of the model, or file of the rows")


if __name__ == "__main__":
    sys.exit(cli.main(["tiny", *sys.argv[1:]]))
