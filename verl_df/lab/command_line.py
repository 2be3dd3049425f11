# SPDX-License-Identifier: Apache-2.0
"""Options that several commands take, and their checks."""

import argparse
import json
from collections.abc import Sequence
from typing import Any


def at_least(arguments: argparse.Namespace, name: str, lowest: int) -> None:
    """Raise ValueError for an option that is given and less than `lowest`."""
    value = getattr(arguments, name)
    if value is not None and not value >= lowest:
        raise ValueError(f"--{name.replace('_', '-')} {value}: {lowest} or more")


def named_values(option: str, texts: Sequence[str]) -> dict[str, str]:
    """The values by name, of an option that can be repeated.

    Raises:
        ValueError: a text without a name or a value, or a name given twice.
    """
    named: dict[str, str] = {}
    for text in texts:
        name, _, value = text.partition("=")
        if not (name and value):
            raise ValueError(f"{option} {text!r}: write NAME=VALUE")
        if name in named:
            raise ValueError(f"{option} {name!r} is given twice")
        named[name] = value
    return named


def engine_arguments(texts: Sequence[str]) -> dict[str, Any]:
    """Arguments of an engine from `--engine KEY=VALUE`: JSON where a value is JSON (true, 4, {...}), else the text."""
    return {name: _json_or_text(text) for name, text in named_values("--engine", texts).items()}


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
