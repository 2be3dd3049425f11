# SPDX-License-Identifier: Apache-2.0
"""The command `verl-df`: every program of the package under one name."""

import difflib
import importlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Command:
    """One sub-command.

    Attributes:
        module: has `main(argv) -> exit code`; imported when the command is given, since most take seconds.
        help: one line.
        replaces: whether it becomes this process, as Hydra's programs must, which read `sys.argv`.
    """

    module: str
    help: str
    replaces: bool = False


COMMANDS = {
    "train": Command("recipe.df.main_df", "train a policy with Difference Feedback; key=value goes to Hydra", True),
    "train-repair": Command("recipe.df.main_repair", "train the repair model by RL; key=value goes to Hydra", True),
    "check": Command("verl_df.lab.dry_run.__main__", "check a run without starting it, and without a GPU"),
    "data": Command("verl_df.lab.data.__main__", "public data sets, or your own, as verl's parquet"),
    "repair-data": Command("verl_df.lab.repair_data.__main__", "data for the repair model from your own policy"),
    "eval": Command("verl_df.lab.eval.__main__", "benchmarks: accuracy, pass@k, tables, paired tests; repairs"),
    "repair-eval": Command("verl_df.lab.eval.repairs.__main__", "how good repair models are; the same as eval repairs"),
    "checkpoint": Command("verl_df.lab.checkpoint.__main__", "merge and check checkpoints, repeat a validation"),
    "audit": Command("verl_df.lab.audit.__main__", "what the repair model's auditor found"),
    "report": Command("verl_df.lab.report.__main__", "the page of a run"),
    "toy": Command("verl_df.lab.toy.__main__", "the toy world: data, base policy, repair model"),
    "tiny": Command("verl_df.lab.tiny.__main__", "tiny models of each architecture, for a CPU"),
}

_EXAMPLES = """
examples:
  verl-df check recipe.df.main_df objective=df_grpo ...     before a GPU is paid for
  verl-df data convert mathvista --out data
  verl-df report --run outputs/toy/df_grpo

`verl-df COMMAND --help` says more."""


def usage() -> str:
    """What `verl-df --help` prints."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {command.help}" for name, command in COMMANDS.items()]
    return "\n".join(["usage: verl-df COMMAND ...", "", "Difference Feedback for verl.", "", *lines, _EXAMPLES])


def main(argv: Sequence[str] | None = None) -> int:
    """Run a sub-command.

    Returns:
        exit code: the sub-command's; 0 for help, 2 for a command that does not exist.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage())
        return 0
    name, *rest = arguments
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        meant = f"did you mean {near[0]!r}?" if near else f"it is one of {', '.join(COMMANDS)}"
        print(f"error: verl-df has no command {name!r}: {meant}", file=sys.stderr)
        return 2
    command = COMMANDS[name]
    if command.replaces:
        os.execv(sys.executable, [sys.executable, "-m", command.module, *rest])
    return importlib.import_module(command.module).main(rest)
