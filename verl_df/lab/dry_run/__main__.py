# SPDX-License-Identifier: Apache-2.0
"""Check a run without starting it, and without a GPU: configuration, data, batch arithmetic, memory.

    verl-df check recipe.df.main_df objective=df_grpo actor_rollout_ref.model.path=POLICY ...
    GPU_GB=48 verl-df check verl.trainer.main_ppo key=value ...
    DRY_RUN=1 bash examples/df_gspo_trainer/run_qwen2_5_vl_7b_fsdp.sh

MODULE is the entry point of the run. Environment variables: GPU_GB, the memory of a GPU (default: 80); HOST_GB, that of
a node, in GiB (default: printed only, not compared).
"""

import argparse
import os
import sys

from verl_df import cli


def run(arguments: argparse.Namespace) -> None:
    """Check and print."""
    from verl_df.lab.dry_run.run import dry_run  # verl takes seconds to import

    host = os.environ.get("HOST_GB")
    gpu = float(os.environ.get("GPU_GB", 80))
    lines = dry_run(arguments.module, arguments.settings, gpu, float(host) if host else None)
    print(f"dry run of {arguments.module}: passed, nothing was started", *lines, sep="\n  ")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument("module", metavar="MODULE", help="entry point of the run")
    parser.add_argument("settings", nargs=argparse.REMAINDER, metavar="key=value", help="its command line")


if __name__ == "__main__":
    sys.exit(cli.main(["check", *sys.argv[1:]]))
