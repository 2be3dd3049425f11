# SPDX-License-Identifier: Apache-2.0
"""Do the weights of tokens point at the wrong tokens? An audit of every source of weights, before training.

    verl-df audit-weights --policy outputs/toy/policy --repair-model outputs/toy/repair --out outputs/audit
    verl-df audit-weights --policy RUN/checkpoints/global_step_20 --out outputs/audit_20
    verl-df audit-weights --policy MODEL --rows rollouts.jsonl --reward-path my_reward.py --out outputs/audit

Samples responses to held-out problems of a toy world, or takes rollouts of your own with `truth_mask` (the form is that
of `verl-df explain`); writes audit.jsonl and audit.md. docs/audit_weights.md
"""

import argparse
import sys
from pathlib import Path

from verl_df import cli
from verl_df.lab.command_line import add_options
from verl_df.lab.explain.options import ALIGNMENT, GATE, add_settings
from verl_df.lab.explain.sampling import Sampling
from verl_df.lab.toy.settings import WORLDS
from verl_df.lab.weight_audit.settings import BatchSettings
from verl_df.method.alignment import AlignmentConfig
from verl_df.method.gates import GateConfig
from verl_df.method.group import OnNoCorrect

_DEFAULT = "(default: %(default)s)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    add = parser.add_argument
    add("--policy", required=True, metavar="MODEL", help="folder, hub name, or a checkpoint of the trainer's")
    add("--repair-model", metavar="MODEL", help="folder or hub name; without it no gate of df and no control on it")
    add("--out", type=Path, required=True, metavar="DIR", help="a new folder")
    add("--world", choices=WORLDS, default="count", help=f"toy world that the batch is sampled from {_DEFAULT}")
    add("--rows", type=Path, metavar="JSONL", help="rollouts of the policy, instead of sampling them")
    add("--reward-path", metavar="PATH", help="pkg://module or file of r_task (default: the toy's; with --rows verl's)")
    choices = [choice.value for choice in OnNoCorrect]
    help = f"df.group.on_no_correct: annotated_answer audits prompts without a right response too {_DEFAULT}"
    add("--on-no-correct", choices=choices, default=OnNoCorrect.SKIP.value, help=help)
    add("--seed", type=int, default=0, help=f"of samples, references and draws {_DEFAULT}")
    add_options(parser, BatchSettings)
    add_options(parser, Sampling)
    add_settings(parser, AlignmentConfig, ALIGNMENT)
    add_settings(parser, GateConfig, GATE)
    add("--max-model-len", type=int, help="tokens of prompt and response (default: the model's)")
    add("--dtype", default="auto", help=f"in which models sample; passes of the policy are in float32 {_DEFAULT}")
    add("--engine", action="append", default=[], metavar="KEY=VALUE", help="argument of vllm.LLM; repeat for more")


def run(arguments: argparse.Namespace) -> None:
    """Audit, and print the page."""
    from verl_df.lab.weight_audit.run import audit  # seconds of imports

    print(audit(arguments))


if __name__ == "__main__":
    sys.exit(cli.main(["audit-weights", *sys.argv[1:]]))
