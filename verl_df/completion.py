# SPDX-License-Identifier: Apache-2.0
"""Completion of `verl-df` in a shell; once, in bash and in zsh:

verl-df completion bash > ~/.local/share/bash-completion/completions/verl-df
verl-df completion zsh > ~/.zfunc/_verl-df      # a folder of $fpath
"""

import argparse
import importlib
from pathlib import Path

import shtab

from verl_df.cli import COMMANDS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument("shell", choices=("bash", "zsh"))


def run(arguments: argparse.Namespace) -> None:
    """Print the script."""
    whole = argparse.ArgumentParser(prog="verl-df")
    commands = whole.add_subparsers()
    for name, command in COMMANDS.items():
        parser = commands.add_parser(name, help=command.help)
        if not command.hydra:
            importlib.import_module(command.module).add_arguments(parser)
    _complete_files(whole)
    print(shtab.complete(whole, arguments.shell))


def _complete_files(parser: argparse.ArgumentParser) -> None:
    for action in parser._actions:
        if action.type is Path:
            action.complete = shtab.FILE  # type: ignore[attr-defined]  # how shtab is told
        elif isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                _complete_files(command)
