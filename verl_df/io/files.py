# SPDX-License-Identifier: Apache-2.0
"""Files that are written whole or not at all, and objects read from them."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO


@contextmanager
def whole_file(path: Path) -> Iterator[TextIO]:
    """A text file that appears under its name when the block ends without an error. Folders on the way are made."""
    with whole_path(path) as partial, partial.open("w", encoding="utf-8", newline="\n") as file:
        yield file


@contextmanager
def whole_path(path: Path) -> Iterator[Path]:
    """A path to write to, renamed to `path` when the block ends without an error and removed otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    with whole_file(path) as file:
        file.write(text)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write an object as indented JSON, whole or not at all."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def read_object(path: Path) -> dict[str, Any]:
    """The object that a JSON file holds.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not JSON, or holds something else; the message names the file.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected a JSON object at the top, found {type(content).__name__}")
    return content
