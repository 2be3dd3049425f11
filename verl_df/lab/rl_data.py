# SPDX-License-Identifier: Apache-2.0
"""verl's multimodal RL parquet, read as a stream of prompts."""

import hashlib
from collections.abc import Container, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image
from pyarrow import types

from verl_df.io.streams import ROWS_AT_ONCE, batches, open_parquet, parquet_rows
from verl_df.method.checks import preferred_response

MARKER = "<image>"
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

    def pictures(self) -> list[Image.Image]:
        """The images, decoded, RGB, as verl shows them to the policy."""
        return [Image.open(BytesIO(image)).convert("RGB") for image in self.images]

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
        self.path, self._text_only = path, text_only
        self._file = open_parquet(path)
        whole = self._file.schema_arrow
        optional = {"extra_info", "images"} if text_only else {"extra_info"}
        missing = [name for name in COLUMNS if name not in whole.names and name not in optional]
        if missing:
            raise ValueError(f"{path}: no column {missing[0]!r} (it has {', '.join(whole.names)})")
        self.schema = pa.schema([whole.field(name) for name in COLUMNS if name in whole.names])
        self.rows: int = self._file.metadata.num_rows
        for name in ("reward_model", "extra_info"):
            if name in self.schema.names:
                _check_json_type(f"{path}: {name}", self.schema.field(name).type)
        self._columns = [name for name in (*COLUMNS, "videos") if name in whole.names]

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
        with ThreadPoolExecutor() as pool:
            for rows in batches(parquet_rows(self._file, wanted, self._columns), ROWS_AT_ONCE):
                problems = pool.map(self._problem, rows, repeat(preferred))
                for (index, _), problem in zip(rows, problems, strict=True):
                    if problem:
                        raise ValueError(f"{self.path}, row {index}: {problem}")

    def prompts(self, wanted: Container[int]) -> Iterator[Prompt]:
        """The wanted rows, in order; they were checked before."""
        for index, row in parquet_rows(self._file, wanted, self._columns):
            yield _prompt(index, row, self.path.parent, self._text_only)

    def _problem(self, row: tuple[int, dict[str, Any]], preferred: bool) -> str | None:
        try:
            prompt = _prompt(*row, self.path.parent, self._text_only)
            prompt.pictures()
            if preferred:
                preferred_response(prompt.extra_info)
        except (ValueError, OSError, SyntaxError, Image.DecompressionBombError) as error:
            return str(error)
        return None


def as_png(image: bytes) -> bytes:
    """An image as PNG: itself if it is one, else its pixels as verl reads them, RGB and without a camera's rotation."""
    with Image.open(BytesIO(image)) as picture:
        if picture.format == "PNG":
            return image
        buffer = BytesIO()
        picture.convert("RGB").save(buffer, format="PNG")
    return buffer.getvalue()


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


def _prompt(index: int, row: Mapping[str, Any], folder: Path, text_only: bool) -> Prompt:
    if row.get("videos"):
        raise ValueError("the row has videos: repair data are made of prompts with text and images")
    messages = row["prompt"]
    if not messages or any(not isinstance(message.get("content"), str) for message in messages):
        raise ValueError("prompt must be a list of messages with a text as content")
    if messages[-1].get("role") != "user":
        raise ValueError("the last message of a prompt must be the user's: there is no question to answer")
    images = tuple(_encoded(image, folder) for image in row.get("images") or [])
    markers = sum(message["content"].count(MARKER) for message in messages)
    if markers != len(images) or not (images or text_only):
        raise ValueError(f"the prompt has {markers} {MARKER} markers for {len(images)} images, one for each is needed")
    ground_truth = (row["reward_model"] or {}).get("ground_truth")
    if ground_truth is None:
        raise ValueError("reward_model.ground_truth is missing: a response cannot be judged")
    if not isinstance(row["data_source"], str):
        raise ValueError(f"data_source is {row['data_source']!r}, not a text")
    return Prompt(index, row["data_source"], messages, images, ground_truth, row.get("extra_info") or {})


def _encoded(image: Mapping[str, Any] | str, folder: Path) -> bytes:
    source = {"path": image} if isinstance(image, str) else image
    if source.get("bytes"):
        return source["bytes"]
    if not source.get("path"):
        raise ValueError("an image has neither bytes nor path")
    return (folder / source["path"].removeprefix("file://")).read_bytes()
