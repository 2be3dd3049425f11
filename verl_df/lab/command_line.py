# SPDX-License-Identifier: Apache-2.0
"""What the commands have in common: options from settings, NAME=VALUE, named runs."""

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from verl_df.io.json_text import parse_json

RUNS = "NAME=DIR[,DIR...]"


def option(help: str, default: Any = dataclasses.MISSING, **more: Any) -> Any:
    """A field of a settings class that is an option of the command line.

    Args:
        help: what it means.
        default: None or False: not named in the help. A dict: an option that can be repeated.
        more: arguments of `add_argument` (metavar, choices), or flag: another name than the field's.
    """
    metadata = {"help": help, **more}
    if isinstance(default, dict):
        return dataclasses.field(default_factory=dict, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def add_options(parser: argparse.ArgumentParser, settings: type) -> None:
    """Add the options of a settings class. What is not given is absent from the parsed arguments."""
    types = get_type_hints(settings)
    for field in dataclasses.fields(settings):
        if not field.metadata:
            continue
        given = dict(field.metadata)
        flag = given.pop("flag", f"--{field.name.replace('_', '-')}")
        if not any(field.default is none for none in (dataclasses.MISSING, None, False)):
            given["help"] = f"{given['help']} (default: {field.default})".strip()
        kind = get_args(types[field.name])[0] if isinstance(types[field.name], UnionType) else types[field.name]
        if get_origin(kind) is dict:
            given["action"] = "append"
        elif kind is bool:
            given["action"] = "store_true"
        else:
            given["type"] = kind
        parser.add_argument(flag, dest=field.name, default=argparse.SUPPRESS, **given)


def named_folders(text: str) -> tuple[str, list[tuple[Path, str]]]:
    """Read `NAME=DIR[#METHOD][,DIR[#METHOD]...]`: the name, and each folder with its method or an empty text.

    Raises:
        ValueError: another form.
    """
    name, equals, folders = text.partition("=")
    if not (name and equals and folders):
        raise ValueError(f"{text!r}: write NAME=DIR1,DIR2")
    parts = [one.partition("#") for one in folders.split(",")]
    return name, [(Path(folder), method) for folder, _, method in parts]


def check_unique(what: str, names: Sequence[str]) -> None:
    """Raise ValueError where a name occurs twice."""
    if len(set(names)) < len(names):
        raise ValueError(f"two {what} have the same name: {', '.join(names)}")


def check_at_least(lowest: int, given: object, *names: str) -> None:
    """Raise ValueError for an option, of settings or of parsed arguments, that is less than `lowest`; None passes."""
    for name in names:
        value = getattr(given, name)
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
        return parse_json(text)
    except ValueError:
        return text
