# SPDX-License-Identifier: Apache-2.0
"""Images of a source: inside its rows, in a folder, in an images.zip, or as base64."""

import base64
import binascii
import os
import re
import zipfile
import zlib
from collections.abc import Mapping
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from verl_df.lab.data.rows import Dropped, Reason

# Both readers of verl 0.9.1's Qwen-VL path refuse images from this ratio on, and neither refuses small ones any more:
# `smart_resize` of transformers 5.9.0 (models/qwen2_vl/image_processing_qwen2_vl.py) and of qwen_vl_utils 0.0.14.
MAX_RATIO = 200
_DATA_URL = re.compile(r"data:image/[\w.+-]+;base64,", re.IGNORECASE)
# A shorter text is a file name that is not there: the smallest PNG has 67 bytes.
_SHORTEST_BASE64 = 88


class Files:
    """Files that rows name: below `root`, or in `root/images.zip`, which is read where it lies."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def read(self, name: str) -> bytes:
        """Content of a file. Raises: Dropped where there is none."""
        path = self.root / name.removeprefix("file://")
        if os.path.isfile(path):  # unlike Path.is_file, not an error for what cannot be a name
            return path.read_bytes()
        if self._archive is None or name not in self._archive.NameToInfo:
            raise Dropped(Reason.UNREADABLE_IMAGE, f"{name[:80]}: no such file")
        try:
            return self._archive.read(name)
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise Dropped(Reason.UNREADABLE_IMAGE, f"{name} in images.zip: {error}") from error

    @cached_property
    def _archive(self) -> zipfile.ZipFile | None:
        path = self.root / "images.zip"
        try:
            return zipfile.ZipFile(path) if path.is_file() else None
        except zipfile.BadZipFile as error:
            raise ValueError(f"{path}: no readable zip archive: {error}") from error


def encoded(value: Any, files: Files) -> bytes:
    """The encoded image of a cell: bytes, {"bytes": ...}, {"path": ...}, or a file name.

    Raises: Dropped for an empty cell, a missing file, or anything else.
    """
    if isinstance(value, Mapping):
        value = value.get("bytes") or value.get("path")
    if isinstance(value, str) and value.strip():
        return files.read(value)
    if isinstance(value, bytes) and value:
        return value
    if not value or isinstance(value, str):
        raise Dropped(Reason.NO_IMAGE)
    raise Dropped(Reason.UNREADABLE_IMAGE, f"an image is given as {type(value).__name__}")


def encoded_or_base64(value: Any, files: Files) -> bytes:
    """As `encoded`, and a text may also be a data URL or plain base64 (a text with a dot in it is a file name)."""
    if not isinstance(value, str):
        return encoded(value, files)
    url = _DATA_URL.match(value)
    if url:
        return _decoded(value[url.end() :])
    if len(value) < _SHORTEST_BASE64 or re.search(r"[^A-Za-z0-9+/=\s]", value):
        return encoded(value, files)
    return _decoded(value)


def check_image(image: bytes, min_side: int) -> None:
    """Decode an image as verl does. Raises: Dropped unless it opens, with sides of `min_side` pixels at least."""
    try:
        with Image.open(BytesIO(image)) as picture:
            width, height = picture.convert("RGB").size
    except UnidentifiedImageError as error:  # its own text holds an address of this process
        raise Dropped(Reason.UNREADABLE_IMAGE, f"{len(image)} bytes in no known image format") from error
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise Dropped(Reason.UNREADABLE_IMAGE, str(error)) from error
    if min(width, height) < min_side:
        raise Dropped(Reason.SMALL_IMAGE, f"{width} x {height} pixels, wanted {min_side}")
    if max(width, height) > MAX_RATIO * min(width, height):
        raise Dropped(Reason.NARROW_IMAGE, f"{width} x {height} pixels")


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except binascii.Error as error:
        raise Dropped(Reason.UNREADABLE_IMAGE, f"broken base64: {error}") from error
