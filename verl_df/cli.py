# SPDX-License-Identifier: Apache-2.0
"""The command `verl-df`: every program of the package under one name."""

import argparse
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
        module: its docstring is the help, `add_arguments(parser)` adds the options, `run(arguments)` does the work and
            raises ValueError or OSError for bad input. Imported when the command is given.
        help: one line.
        hydra: whether it is a program of Hydra's instead.
    """

    module: str
    help: str
    hydra: bool = False


COMMANDS = {
    "train": Command("recipe.df.main_df", "train a policy with Difference Feedback; key=value goes to Hydra", True),
    "train-repair": Command("recipe.df.main_repair", "train the repair model by RL; key=value goes to Hydra", True),
    "check": Command("verl_df.lab.dry_run.__main__", "check a run without starting it, and without a GPU"),
    "data": Command("verl_df.lab.data.__main__", "public data sets, or your own, as verl's parquet"),
    "repair-data": Command("verl_df.lab.repair_data.__main__", "data for the repair model from your own policy"),
    "judge": Command("verl_df.lab.judge", "how the rules judge a response, and why"),
    "align": Command("verl_df.lab.explain.align", "which tokens of two responses differ, with masks and gates"),
    "explain": Command("verl_df.lab.explain.__main__", "masks on your own rollouts, without training"),
    "eval": Command("verl_df.lab.eval.__main__", "benchmarks: accuracy, pass@k, tables, paired tests; repairs"),
    "repair-eval": Command("verl_df.lab.eval.repairs.__main__", "how good repair models are; the same as eval repairs"),
    "checkpoint": Command("verl_df.lab.checkpoint.__main__", "merge and check checkpoints, repeat a validation"),
    "audit": Command("verl_df.lab.audit.__main__", "what the repair model's auditor found"),
    "audit-weights": Command("verl_df.lab.weight_audit.__main__", "do token weights point at the wrong tokens?"),
    "report": Command("verl_df.lab.report.__main__", "the page of a run"),
    "inspect": Command("verl_df.lab.inspect.__main__", "look into a run in a browser, also while it trains"),
    "ledger": Command("verl_df.lab.ledger", "what runs spent, by part, in device-seconds"),
    "study": Command("verl_df.lab.study.__main__", "arms x seeds x worlds of training runs, with tables and tests"),
    "toy": Command("verl_df.lab.toy.__main__", "the toy world: data, base policy, repair model"),
    "tiny": Command("verl_df.lab.tiny.__main__", "tiny models of each architecture, for a CPU"),
    "completion": Command("verl_df.completion", "a script that completes this command in bash or zsh"),
}

_USAGE = """usage: verl-df COMMAND ...

Difference Feedback for verl.

{commands}

examples:
  verl-df check recipe.df.main_df objective=df_grpo ...     before a GPU is paid for
  verl-df data convert mathvista --out data
  verl-df report --run outputs/toy/df_grpo
  verl-df inspect outputs/toy/df_grpo                       pairs token by token, also while it trains

`verl-df COMMAND --help` says more."""

_HYDRA_USAGE = """usage: verl-df {name} key=value ...

{help}

examples:
  verl-df {name} data.train_files=train.parquet actor_rollout_ref.model.path=MODEL ...
  verl-df {name} --cfg job        the whole configuration, with every default
  verl-df {name} --hydra-help     Hydra's own options

`verl-df check {module} key=value ...` checks a run without starting it."""


def usage() -> str:
    """What `verl-df --help` prints."""
    width = max(map(len, COMMANDS))
    return _USAGE.format(commands="\n".join(f"  {name:<{width}}  {one.help}" for name, one in COMMANDS.items()))


def main(argv: Sequence[str] | None = None) -> int:
    """Run a sub-command.

    Returns:
        exit code: 0, 1 for bad input, 2 for a command line that cannot be read (argparse exits with it by itself).
    """
    name, *rest = list(sys.argv[1:] if argv is None else argv) or ["--help"]
    if name in ("-h", "--help"):
        print(usage())
        return 0
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        meant = f"did you mean {near[0]!r}?" if near else f"it is one of {', '.join(COMMANDS)}"
        print(f"error: verl-df has no command {name!r}: {meant}", file=sys.stderr)
        return 2
    if COMMANDS[name].hydra:
        return _hydra(name, rest)
    module = importlib.import_module(COMMANDS[name].module)
    parser = argparse.ArgumentParser(
        prog=f"verl-df {name}", description=module.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    module.add_arguments(parser)
    arguments = parser.parse_args(rest)
    try:
        module.run(arguments)
    except (ValueError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)  # those of Hydra have several lines
        return 1
    return 0


def _hydra(name: str, arguments: list[str]) -> int:
    """Show the help, or become Hydra's program, which reads `sys.argv` itself."""
    if arguments in (["-h"], ["--help"]):
        print(_HYDRA_USAGE.format(name=name, help=COMMANDS[name].help, module=COMMANDS[name].module))
        return 0
    os.execv(sys.executable, [sys.executable, "-m", COMMANDS[name].module, *arguments])
