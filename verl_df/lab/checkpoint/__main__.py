# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of verl's FSDP trainer: merge one to a Hugging Face folder, check the merge, repeat its validation.

    verl-df checkpoint merge RUN/checkpoints/global_step_20 --out MODEL
    verl-df checkpoint check RUN/checkpoints/global_step_20 --merged MODEL --data val.parquet
    verl-df checkpoint validate RUN/checkpoints/global_step_20 --merged MODEL --data val.parquet \\
        --metrics RUN/metrics.jsonl --max-tokens 64 --reward-path pkg://verl_df.lab.toy.reward

A checkpoint is .../global_step_N, .../global_step_N/actor, or the folder of a run: then its newest. Exit code 1: bad
input, or another result than the trainer's.
"""

import argparse
import sys
from pathlib import Path

from verl_df import cli
from verl_df.lab.checkpoint.answer import ValidationSettings
from verl_df.lab.checkpoint.commands import COMMANDS
from verl_df.lab.checkpoint.merge import DTYPES
from verl_df.lab.command_line import add_options

_DEFAULTS = "default: %(default)s"


def run(arguments: argparse.Namespace) -> None:
    """Run a command."""
    COMMANDS[arguments.command](arguments)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    commands = parser.add_subparsers(dest="command", required=True)
    merge = commands.add_parser("merge", help="a Hugging Face folder from the shards")
    merge.add_argument("checkpoint", type=Path)
    merge.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="new or empty")
    merge.add_argument("--dtype", choices=DTYPES, default="auto", help="auto: as trained (default)")
    check = commands.add_parser("check", help="log-probabilities of the trained actor and of the merged model")
    check.add_argument("checkpoint", type=Path)
    check.add_argument("--merged", type=Path, required=True, metavar="FOLDER")
    check.add_argument("--data", type=Path, required=True, metavar="PARQUET", help="verl's RL rows")
    check.add_argument("--rows", type=int, default=16, help=f"prompts, drawn with a fixed seed ({_DEFAULTS})")
    check.add_argument("--max-tokens", type=int, default=128, help=f"of a response ({_DEFAULTS})")
    check.add_argument(
        "--tolerance", type=float, default=1e-4, help=f"largest difference of a token's log-probability ({_DEFAULTS})"
    )
    _add_validate(commands.add_parser("validate", help="the trainer's greedy validation, repeated in vLLM"))


def _add_validate(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("checkpoint", type=Path)
    add("--merged", type=Path, required=True, metavar="FOLDER")
    add("--metrics", type=Path, required=True, metavar="JSONL", help="what verl's `file` logger wrote")
    add("--generations", type=Path, metavar="DIR", help="the run's trainer.validation_data_dir, to tell which differ")
    add("--step", type=int, help="of the validation (default: the checkpoint's)")
    add_options(parser, ValidationSettings)


if __name__ == "__main__":
    sys.exit(cli.main(["checkpoint", *sys.argv[1:]]))
