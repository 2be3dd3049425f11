# SPDX-License-Identifier: Apache-2.0
"""Where the bytes of a picture lie: what verl reads of a path or a data URL, and what of that is read at all."""

import base64
import binascii
import os
from enum import StrEnum
from pathlib import Path

MAX_BYTES = 64 << 20
"""Of an encoded picture, known before it is read."""
_NETWORK = ("http://", "https://")


class PictureFault(StrEnum):
    """Why a picture cannot be used."""

    UNREADABLE = "image does not open"
    LARGE = "image is too large"
    NARROW = "image is too narrow"
    DEEP = "image has more than 8 bits"


class PictureError(ValueError):
    """A picture that cannot be used. fault: its kind; detail: what exactly, for people."""

    def __init__(self, fault: PictureFault, detail: str) -> None:
        super().__init__(f"{fault}: {detail}")
        self.fault, self.detail = fault, detail


def stored(source: str, folder: Path | None = None) -> bytes:
    """The bytes of what verl opens for a text: `data:image/...;base64,...`, `file://PATH`, or a path.

    Args:
        source: the text. A relative path is verl's: from the working folder.
        folder: files below it are read, no others; None: any.

    Raises:
        PictureError: an address on the network, which is never fetched; a path that leads out of `folder`; no such
            file, or one that is too large; broken base64.
    """
    if source.startswith(_NETWORK):
        raise _unreadable(f"{source[:80]!a} is on the network, and nothing is fetched: put its bytes into the row")
    if source.startswith("data:image"):
        return decoded(source.partition("base64,")[2])
    path = Path(source.removeprefix("file://"))
    if folder is not None and not _below(path, folder):
        raise _unreadable(f"{_shown(path)}: images are read below the data's folder only ({folder}), without '..'")
    return read_limited(path)


def read_limited(path: Path) -> bytes:
    """The content of a file of at most `MAX_BYTES`. Raises: PictureError."""
    try:
        if not os.path.isfile(path):  # unlike Path.is_file, not an error for what cannot be a name
            raise _unreadable(f"{_shown(path)}: no such file")
        check_size(path.stat().st_size)
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(f"{_shown(path)}: {error.strerror or error}") from error


def decoded(text: str) -> bytes:
    """The bytes of a base64 text, in which white space may stand. Raises: PictureError."""
    check_size(len(text) * 3 // 4)
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise _unreadable(f"broken base64: {error}") from error


def check_size(size: int) -> None:
    """Raise PictureError where an encoded picture has more than `MAX_BYTES`."""
    if size > MAX_BYTES:
        raise PictureError(PictureFault.LARGE, f"{size:,} bytes, at most {MAX_BYTES:,} are read")


def _below(path: Path, folder: Path) -> bool:
    """By name, so that a link in the folder may lead elsewhere; or by place, where the folder itself is behind one."""
    if ".." in path.parts:
        return False
    own, root = Path(os.path.abspath(path)), Path(os.path.abspath(folder))
    try:
        return own.is_relative_to(root) or Path(os.path.realpath(own)).is_relative_to(os.path.realpath(root))
    except ValueError:  # a null byte, half a surrogate pair: no name of a file
        return False


def _unreadable(detail: str) -> PictureError:
    return PictureError(PictureFault.UNREADABLE, detail)


def _shown(path: Path) -> str:
    """A name in a message: its last 120 characters, and without half surrogate pairs, which no file can hold."""
    name = str(path)
    shown = name if len(name) <= 120 else f"...{name[-117:]}"
    return shown.encode("utf-8", "backslashreplace").decode()
