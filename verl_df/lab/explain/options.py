# SPDX-License-Identifier: Apache-2.0
"""Options of the command line from the settings of the method: the same names, choices and defaults."""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, get_type_hints

import numpy as np

from verl_df.io.validation import Choice
from verl_df.lab.explain.units import SPLITS, Units
from verl_df.method.alignment import AlignmentConfig
from verl_df.method.gates import GateConfig, Level, split_steps

T = TypeVar("T")

# `normalizer` and `clamp_errors` are about the loss: they change no mask and no gate
ALIGNMENT = {
    "method": "df.alignment.method: the shortest edit path, or the longest common subsequence",
    "backend": "df.alignment.backend",
}
GATE = {
    "kind": "df.gate.kind: a marked token's gate is 1, or decays with the distance from tau",
    "alpha": "df.gate.alpha: decay per token of kind soft",
    "tau": "df.gate.tau: the token with a soft gate of 1",
    "level": "df.gate.level: mark tokens, or the whole steps that hold them",
    "step_separator": "df.gate.step_separator: where steps end",
    "segments": "df.gate.segments: which difference segments count",
}


def add_gate_options(parser: argparse.ArgumentParser) -> None:
    """The options of tokens, alignment and gate."""
    parser.add_argument("--tokenizer", metavar="PATH", help="folder or hub name: align its tokens, end token included")
    parser.add_argument("--split", choices=SPLITS, help="what is aligned without a tokenizer (default: words)")
    add_settings(parser, AlignmentConfig, ALIGNMENT)
    add_settings(parser, GateConfig, GATE)


def add_settings(parser: argparse.ArgumentParser, kind: type, helps: Mapping[str, str]) -> None:
    """Add an option for each named setting of a class under `io.validation.checked`."""
    types = get_type_hints(kind)
    for name, text in helps.items():
        default, annotation = getattr(kind(), name), types[name]
        more: dict[str, Any] = {"type": type(default)}
        if isinstance(annotation, type) and issubclass(annotation, Choice):
            more = {"choices": [choice.value for choice in annotation]}
        parser.add_argument(f"--{name.replace('_', '-')}", default=default, help=f"{text} (default: {default})", **more)


def settings_from(arguments: argparse.Namespace, kind: type[T], helps: Mapping[str, str]) -> T:
    """The settings with the options that `add_settings` added. Raises: ValueError for a value out of its range."""
    return kind(**{name: getattr(arguments, name) for name in helps})


def gate_of(arguments: argparse.Namespace) -> GateConfig:
    """The gate's settings."""
    return settings_from(arguments, GateConfig, GATE)


def alignment_of(arguments: argparse.Namespace) -> AlignmentConfig:
    """The alignment's settings."""
    return settings_from(arguments, AlignmentConfig, ALIGNMENT)


def steps_of(token_ids: Sequence[int], units: Units, gate: GateConfig) -> np.ndarray | None:
    """Step number of each token, int [T], at step level; None at token level."""
    return split_steps(units.texts(token_ids), gate.step_separator) if gate.level is Level.STEP else None


def check_steps(gate: GateConfig, tokenizer: str | None, *, ids_only: bool) -> None:
    """Raise ValueError where steps are to be found in token ids without a text."""
    if gate.level is Level.STEP and ids_only and tokenizer is None:
        raise ValueError("--level step finds steps in the text, and there are only token ids: give --tokenizer")
