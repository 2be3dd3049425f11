# SPDX-License-Identifier: Apache-2.0
"""A cell of the column of images: the forms that verl reads, as encoded bytes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from verl_df.io.picture_sources import PictureError, check_size, stored
from verl_df.io.pictures import SIZE_KEYS, as_datasets_opens
from verl_df.rows.faults import Reason, RowError

# verl hands a struct to the chat template and to qwen_vl_utils as it is: these would make something else of it
_REFUSED = ("type", "text", "video", *SIZE_KEYS)


def encoded_image(cell: Any, folder: Path, by_datasets: bool) -> bytes:
    """The picture that verl reads of a cell: a path or data URL, a struct with `bytes`, `image` or `image_url`.

    Args:
        cell: of the list in a row.
        folder: of the data file; only files below it are read.
        by_datasets: the file says that its images are of `datasets`' type Image; then `datasets` opens `bytes` or
            `path`, and verl gets a picture.

    Raises:
        RowError: nothing that verl can read; PictureError: a picture that cannot be used.
    """
    if by_datasets:
        content = _of_datasets(cell, folder)
        check_size(len(content))
        return as_datasets_opens(content)
    content = stored(cell, folder) if isinstance(cell, str) else _of_struct(cell, folder)
    check_size(len(content))
    return content


def _of_struct(cell: Any, folder: Path) -> bytes:
    if not isinstance(cell, Mapping):
        raise _unreadable(f"it is of type {type(cell).__name__}: write {{'bytes': ...}} or a path")
    other = next((key for key in _REFUSED if key in cell), None)
    if other:
        raise _unreadable(f"it has the key {other!r}: write {{'bytes': ...}} only")
    if "bytes" in cell:
        return _bytes(cell)
    source = cell["image"] if "image" in cell else cell.get("image_url")
    if not isinstance(source, str):
        raise _unreadable(f"verl finds no picture in a struct of {_keys(cell)}: write {{'bytes': ...}} or a path")
    return stored(source, folder)


def _bytes(cell: Mapping[str, Any]) -> bytes:
    if isinstance(cell["bytes"], bytes) and cell["bytes"]:
        return cell["bytes"]
    if cell.get("path"):
        raise _unreadable("its 'bytes' are null, and verl does not look at 'path' then: write the path as a text")
    raise _unreadable("it has neither bytes nor path")


def _of_datasets(cell: Any, folder: Path) -> bytes:
    if not isinstance(cell, Mapping) or not (cell.get("bytes") or cell.get("path")):
        raise _unreadable("it has neither bytes nor path")
    return cell["bytes"] if cell.get("bytes") is not None else stored(cell["path"], folder)


def _keys(cell: Mapping[str, Any]) -> str:
    return ", ".join(map(repr, cell)) or "nothing"


def _unreadable(detail: str) -> RowError:
    return RowError(Reason.UNREADABLE_IMAGE, detail)


def located(number: int, error: RowError | PictureError) -> RowError:
    """The error with the place of the image in its row."""
    reason = error.reason if isinstance(error, RowError) else Reason(error.fault.value)
    return RowError(reason, f"image {number}: {error.detail}")
