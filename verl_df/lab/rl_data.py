# SPDX-License-Identifier: Apache-2.0
"""verl's multimodal RL parquet, read as a stream of prompts."""

import hashlib
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image
from pyarrow import types

from verl_df.io.pictures import PATCH_SIZE, load_picture
from verl_df.rows.check import RowRules, read_row
from verl_df.rows.files import RowFile

COLUMNS = ("data_source", "prompt", "images", "reward_model", "extra_info")


@dataclass(frozen=True)
class Prompt:
    """One row. index: its number, from 0. images: encoded, one for each `<image>` marker. The others: as in the row."""

    index: int
    data_source: str
    messages: list[dict[str, Any]]
    images: tuple[bytes, ...]
    ground_truth: Any
    extra_info: dict[str, Any]

    def pictures(self, patch_size: int = PATCH_SIZE) -> list[Image.Image]:
        """The images as verl shows them to a policy whose vision patches have `patch_size` pixels."""
        return [load_picture(image, patch_size) for image in self.images]

    def image_names(self) -> list[str]:
        """File names of the images in a set, from their content."""
        return [f"{hashlib.sha256(image).hexdigest()}.png" for image in self.images]


class RLData:
    """A data file whose columns are known to be usable; rows are read on demand.

    Attributes: path; rows: their number; schema: types of the columns used here.

    Args: path; text_only: whether a row may have no image.

    Raises: FileNotFoundError, or ValueError for a file that is no parquet, lacks a column, or holds in `extra_info` or
    `reward_model` a type that JSON has not.
    """

    def __init__(self, path: Path, *, text_only: bool = False) -> None:
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such file; give a parquet file of verl's RL rows with --data")
        self.path = path
        self._file = RowFile(path, RowRules(path.parent, text_only=text_only))
        whole = self._file.schema
        self.schema = pa.schema([whole.field(name) for name in COLUMNS if name in whole.names])
        self.rows: int = self._file.rows
        for name in ("reward_model", "extra_info"):
            if name in self.schema.names:
                _check_json_type(f"{path}: {name}", self.schema.field(name).type)

    def choose(self, count: int | None, seed: int) -> np.ndarray:
        """`count` row numbers (all for None) drawn uniformly, in the order of the file, int [count].

        With one seed a larger count holds the rows of a smaller one, so that a set can be enlarged.
        """
        drawn = np.random.default_rng(seed).permutation(self.rows)
        return np.sort(drawn if count is None else drawn[:count])

    def check(self, wanted: Container[int], *, preferred: bool = False) -> None:
        """Read the wanted rows and decode their images. preferred: whether each needs a preferred response.

        Raises: ValueError for the first row that cannot be used, with file and row number.
        """
        self._file.check(wanted, preferred=preferred)

    def prompts(self, wanted: Container[int]) -> Iterator[Prompt]:
        """The wanted rows, in order; they were checked before."""
        for index, row in self._file.read(wanted):
            yield Prompt(index, **vars(read_row(row, self._file.rules)))


def _check_json_type(where: str, kind: pa.DataType) -> None:
    if types.is_struct(kind):
        for field in kind:
            _check_json_type(f"{where}.{field.name}", field.type)
    elif any(is_kind(kind) for is_kind in _HOLDERS):
        _check_json_type(where, kind.value_type)
    elif not any(is_kind(kind) for is_kind in _JSON_KINDS):
        raise ValueError(f"{where} is of type {kind}, which JSON has not: write it as text or numbers, or leave it out")


_HOLDERS = (types.is_list, types.is_large_list, types.is_fixed_size_list, types.is_dictionary)
_JSON_KINDS = (
    types.is_null,
    types.is_boolean,
    types.is_integer,
    types.is_floating,
    types.is_string,
    types.is_large_string,
    types.is_string_view,
)
