# SPDX-License-Identifier: Apache-2.0
"""The command line of `verl-df repair-data`."""

import argparse
from pathlib import Path

from verl_df.lab.command_line import add_options
from verl_df.lab.repair_data import commands
from verl_df.lab.repair_data.settings import SampleSettings

_DEFAULT = "(default: %(default)s)"


def add_parsers(parser: argparse.ArgumentParser) -> None:
    """Add a parser for each command; `run` of what it parses is what to call with it."""
    subparsers = parser.add_subparsers(required=True, metavar="command")
    for name, run, add, text in (
        ("sample", commands.sample, _sample, "sample the policy and keep wrong responses that have a reference"),
        ("export", commands.export, _export, "write what y* is annotated with"),
        ("targets", commands.targets, _targets, "annotate with a function that computes y*"),
        ("import", commands.import_, _import, "check annotations and write DIR/repairs.jsonl"),
        ("parquet", commands.parquet, _parquet, "write verl's SFT rows and repair tasks"),
    ):
        command = subparsers.add_parser(name, help=text)
        command.set_defaults(run=run)
        add(command)


def _sample(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--model", required=True, help="the policy: Hugging Face folder or hub name")
    add("--data", required=True, type=Path, metavar="PARQUET", help="verl's multimodal RL rows")
    add("--out", required=True, type=Path, metavar="DIR", help="folder of the set; an interrupted run goes on there")
    add("--prompts", type=int, metavar="N", help="rows to sample, drawn uniformly (default: all)")
    add("--limit", type=int, metavar="N", help="stop after the batch that brings the set to N samples")
    add_options(parser, SampleSettings)
    _add_workers(parser)
    add("--batch", type=int, default=128, help=f"prompts at a time; what a kill loses {_DEFAULT}")
    add("--max-model-len", type=int, help="tokens of prompt and response (default: the model's)")
    add("--dtype", default="auto", help=_DEFAULT)
    add("--engine", action="append", default=[], metavar="KEY=VALUE", help="argument of vllm.LLM; repeat for more")


def _export(parser: argparse.ArgumentParser) -> None:
    _add_folder(parser)
    add = parser.add_argument
    add("--format", choices=("html", "jsonl"), default="html", help=f"DIR/forms/*.html, or lines to fill in {_DEFAULT}")
    add("--per-file", type=int, default=100, metavar="N", help=f"samples a form {_DEFAULT}")
    add("--count", type=int, metavar="N", help="samples to annotate, drawn uniformly (default: all)")
    add("--seed", type=int, default=0, help=f"of the draw {_DEFAULT}")
    add("--out", type=Path, metavar="FILE", help="lines to fill in (default: DIR/to_annotate.jsonl)")


def _targets(parser: argparse.ArgumentParser) -> None:
    _add_folder(parser)
    add = parser.add_argument
    add(
        "--function",
        required=True,
        metavar="MODULE:NAME",
        help="(response, extra_info) -> y* or None; pkg://m:f, or a file",
    )
    add("--out", type=Path, metavar="FILE", help="annotations to write (default: DIR/annotations.jsonl)")
    add("--overwrite", action="store_true", help="replace the file if it is there")


def _import(parser: argparse.ArgumentParser) -> None:
    _add_folder(parser)
    add = parser.add_argument
    add("annotations", nargs="+", type=Path, metavar="FILE", help="annotations.jsonl, one or several")
    add("--out", type=Path, metavar="FILE", help="default: DIR/repairs.jsonl, replaced where it exists")
    add("--model", help="folder or name of the tokenizer (default: the sampled policy)")
    add("--max-tokens", type=int, help="longest target, end token included (default: that of `sample`)")
    add("--reward-path", metavar="FILE", help="the file of the set's reward function, to say that it may be run")
    add("--max-edit-ratio", type=float, metavar="RATIO", help="refuse targets that change more (default: none)")
    add("--skip-broken", action="store_true", help="write the good ones; the others go to DIR/rejected.jsonl")
    _add_workers(parser)


def _parquet(parser: argparse.ArgumentParser) -> None:
    _add_folder(parser)
    add = parser.add_argument
    add("--out-sft", type=Path, metavar="PARQUET", help="SFT rows (x, y, a) -> y*, from DIR/repairs.jsonl")
    add("--out-rl", type=Path, metavar="PARQUET", help="repair tasks of every sample; they need no annotation")
    add("--held-out", type=float, metavar="SHARE", help="share of the prompts that is in neither of them")
    add("--out-val", type=Path, metavar="PARQUET", help="repair tasks of the held-out prompts")
    add("--seed", type=int, default=0, help=f"of the split {_DEFAULT}")
    add("--template", type=Path, metavar="FILE", help="repair prompt (default: the packaged repair.txt)")


def _add_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder of the set")


def _add_workers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--reward-workers", type=int, default=1, help=f"answers judged at a time {_DEFAULT}")
