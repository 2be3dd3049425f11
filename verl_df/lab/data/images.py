# SPDX-License-Identifier: Apache-2.0
"""Images of a source: inside its rows, in a folder, in an images.zip, or as base64."""

import re
import zipfile
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from verl_df.io.picture_sources import PictureError, check_size, decoded, stored
from verl_df.lab.data.fields import is_missing
from verl_df.lab.data.rows import Dropped
from verl_df.rows.faults import Reason

_DATA_URL = re.compile(r"data:image/[\w.+-]+;base64,", re.IGNORECASE)
# A shorter text is a file name that is not there: the smallest PNG has 67 bytes.
_SHORTEST_BASE64 = 88


class Files:
    """Files that rows name: in `root/images.zip`, which is read where it lies, or below `root`; None: none."""

    def __init__(self, root: Path | None) -> None:
        self.root = root

    def read(self, name: str) -> bytes:
        """Content of a file. Raises: Dropped where there is none below `root`, or it is too large."""
        archive = self._archive
        if archive is not None and name in archive.NameToInfo:
            return self._member(archive, name)
        if self.root is None:
            raise Dropped(Reason.UNREADABLE_IMAGE, f"{name[:80]}: the rows of a hub's table come without files")
        try:
            return stored(str(self.root / name.removeprefix("file://")), self.root)
        except PictureError as error:
            raise Dropped(Reason(error.fault.value), error.detail) from error

    def _member(self, archive: zipfile.ZipFile, name: str) -> bytes:
        try:
            check_size(archive.NameToInfo[name].file_size)
            return archive.read(name)
        except PictureError as error:
            raise Dropped(Reason(error.fault.value), f"{name} in images.zip: {error.detail}") from error
        except Exception as error:  # encrypted, of another compression, damaged: zipfile has one of its own for each
            raise Dropped(Reason.UNREADABLE_IMAGE, f"{name} in images.zip: {error}") from error

    @cached_property
    def _archive(self) -> zipfile.ZipFile | None:
        if self.root is None:
            return None
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
    if is_missing(value):
        raise Dropped(Reason.NO_IMAGE)
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
        return _of_base64(value[url.end() :])
    if len(value) < _SHORTEST_BASE64 or re.search(r"[^A-Za-z0-9+/=\s]", value):
        return encoded(value, files)
    return _of_base64(value)


def _of_base64(text: str) -> bytes:
    try:
        return decoded(text)
    except PictureError as error:
        raise Dropped(Reason(error.fault.value), error.detail) from error
