# SPDX-License-Identifier: Apache-2.0
"""The pictures of prompts: read beside the rows, and kept beside the pairs for the report."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from verl_df.io.files import inside
from verl_df.io.picture_sources import PictureError, read_limited
from verl_df.io.pictures import as_png, check_picture, load_picture
from verl_df.lab.explain.rows import Group


def check_pictures(groups: Iterable[Group], folder: Path) -> None:
    """Raise ValueError, with file and line, for a picture that cannot be used or lies outside the rows' folder."""
    for group in groups:
        for content in _contents(group, folder):
            try:
                check_picture(content)
            except PictureError as error:
                raise ValueError(f"{_place(group)}: {error}") from error


def group_pictures(group: Group, folder: Path, patch_size: int) -> list[Image.Image]:
    """The pictures of a prompt as verl shows them to a model."""
    return [load_picture(content, patch_size) for content in _contents(group, folder)]


def keep_pictures(group: Group, folder: Path, out: Path) -> tuple[str, ...]:
    """Write the pictures of a prompt into `out`, by their content; returns their names there."""
    names = []
    for content in _contents(group, folder):
        name = f"{hashlib.sha256(content).hexdigest()}.png"
        out.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(as_png(content))
        names.append(name)
    return tuple(names)


def _contents(group: Group, folder: Path) -> list[bytes]:
    try:
        return [read_limited(inside(folder, name)) for name in group.first.images]
    except (PictureError, ValueError) as error:
        raise ValueError(f"{_place(group)}: {error}") from error


def _place(group: Group) -> str:
    return next(iter(group.places.values()))
