# SPDX-License-Identifier: Apache-2.0
"""Masks and gates on your own rollouts, without training; and how good a repair model is on them.

    verl-df explain rollouts.jsonl                                          repairs are in the rows
    verl-df explain rollouts.jsonl --repairs sibling --tokenizer POLICY     the nearest right response of the prompt
    verl-df explain rollouts.jsonl --repair-model MODEL --reward-path my_reward.py --out outputs/explained
    verl-df report --run outputs/explained

A row is a JSON object: uid of the prompt, response (or token_ids), reward; repair, repair_reward, truth_mask, prompt,
images, ground_truth and others are optional. docs/explain.md
"""

import argparse
import sys
from pathlib import Path

from verl_df import cli
from verl_df.lab.command_line import add_options
from verl_df.lab.explain.options import add_gate_options, add_settings
from verl_df.lab.explain.run import GROUP, explain
from verl_df.lab.explain.sampling import Sampling
from verl_df.method.group import GroupConfig

_DEFAULT = "(default: %(default)s)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    add = parser.add_argument
    add("rows", type=Path, metavar="JSONL", help="the rollouts, one JSON object a line")
    add("--out", type=Path, metavar="DIR", help="write pairs.jsonl, metrics.jsonl and images, for `verl-df report`")
    add("--show", type=int, default=10, metavar="N", help=f"pairs to print {_DEFAULT}")
    add("--repairs", choices=("given", "sibling"), help="where repairs come from without a model (default: given)")
    add("--repair-model", metavar="MODEL", help="sample repairs: folder or hub name, whose tokens are aligned")
    add("--seed", type=int, default=0, help=f"of the choice of references, and of samples {_DEFAULT}")
    add("--skip-truncated", action="store_true", help="do not repair responses with finished=false")
    add("--repair-reward-threshold", type=float, default=1.0, help=f"df.repair.reward_threshold {_DEFAULT}")
    add_settings(parser, GroupConfig, GROUP)
    add_gate_options(parser)
    add("--reward-path", metavar="PATH", help="pkg://module or file of r_task (default: verl's own)")
    add("--reward-name", default="compute_score", help=f"its name there {_DEFAULT}")
    add("--reward-workers", type=int, default=1, help=f"repairs judged at a time {_DEFAULT}")
    add_options(parser, Sampling)
    add("--template", type=Path, metavar="FILE", help="repair prompt (default: the packaged repair.txt)")
    add("--max-model-len", type=int, help="tokens of prompt and repair (default: the model's)")
    add("--dtype", default="auto", help=_DEFAULT)
    add("--engine", action="append", default=[], metavar="KEY=VALUE", help="argument of vllm.LLM; repeat for more")


def run(arguments: argparse.Namespace) -> None:
    """Print pairs and figures, and write them."""
    explain(arguments)


if __name__ == "__main__":
    sys.exit(cli.main(["explain", *sys.argv[1:]]))
