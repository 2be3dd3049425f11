# SPDX-License-Identifier: Apache-2.0
"""Files that are written whole or not at all, and objects read from them."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from verl_df.io.json_text import parse_json
from verl_df.io.lock import release, take


@contextmanager
def whole_file(path: Path) -> Iterator[TextIO]:
    """A text file that appears under its name when the block ends without an error. Folders on the way are made.

    Half of a surrogate pair, which a model may write and UTF-8 cannot hold, is spelled out: `\\ud83d`.
    """
    with (
        whole_path(path) as partial,
        partial.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as file,
    ):
        yield file


@contextmanager
def whole_path(path: Path) -> Iterator[Path]:
    """A path to write to, renamed to `path` when the block ends without an error and removed otherwise.

    Raises: `io.lock.InUse` where another process is writing the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    lock = take(partial, str(path))
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
        release(lock)


def inside(folder: Path, name: str) -> Path:
    """The file `name` of a folder, for a name that was read from a file: it may lie nowhere else, by a link neither.

    Raises:
        ValueError: an absolute path, one that leads out of the folder, or no file's name at all.
    """
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise ValueError(f"{name!r} is not inside {folder}")
    return path


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
        content = parse_json(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path}: not JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected a JSON object at the top, found {type(content).__name__}")
    return content
