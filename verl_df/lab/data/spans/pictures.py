# SPDX-License-Identifier: Apache-2.0
"""The pictures of a row, by bytes or by a path that was another machine's."""

import hashlib
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image

from verl_df.io.picture_sources import PictureError
from verl_df.io.pictures import FORMATS, check_picture
from verl_df.lab.data.images import Files, encoded
from verl_df.lab.data.rows import Dropped
from verl_df.rows.faults import Reason


def picture_of(value: Any, files: Files) -> bytes:
    """The encoded picture of a cell: bytes, {"bytes": ...}, or a path.

    Of a path, the longest end that names a file counts: `/data/pixmo/7.jpg` may lie in the folder as `pixmo/7.jpg` or
    `7.jpg`.

    Raises:
        RowError: it cannot be read.
        ValueError: a path, and no folder.
    """
    if isinstance(value, dict):
        value = value.get("bytes") or value.get("path")
    content = _found(value, files) if isinstance(value, str) and value.strip() else encoded(value, files)
    try:
        check_picture(content)
    except PictureError as error:
        raise Dropped(Reason(error.fault.value), error.detail) from error
    return content


def _found(path: str, files: Files) -> bytes:
    if files.root is None:
        raise ValueError(f"the picture is a path, {path[:120]!r}: --images must name the folder that it lies in")
    parts = PurePosixPath(path.removeprefix("file://")).parts
    for first in range(len(parts)):
        try:
            return files.read(str(PurePosixPath(*parts[first:])))
        except Dropped as drop:
            last = drop
    raise Dropped(last.reason, f"{path[:120]!r}: {last.detail}; --images names the folder of the pictures")


def keep(content: bytes, folder: Path) -> str:
    """Write a picture into `folder`, named by its content; returns its name. content: of `picture_of`."""
    with Image.open(BytesIO(content), formats=FORMATS) as picture:
        kind = str(picture.format).lower()
    name = f"{hashlib.sha256(content).hexdigest()}.{kind}"
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / name).exists():
        (folder / name).write_bytes(content)
    return name
