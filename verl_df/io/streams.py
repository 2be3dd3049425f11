# SPDX-License-Identifier: Apache-2.0
"""What is larger than memory, a few items at a time."""

from collections.abc import Container, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

_Item = TypeVar("_Item")
# Rows decoded at a time: a row may hold several photographs.
ROWS_AT_ONCE = 16


def batches(items: Iterable[_Item], size: int) -> Iterator[list[_Item]]:
    """Lists of `size` items, the last one shorter."""
    remaining = iter(items)
    while part := list(islice(remaining, size)):
        yield part


def open_parquet(path: Path) -> pq.ParquetFile:
    """A parquet file, opened. Raises: ValueError for a file of another kind, or a damaged one."""
    try:
        # a page of the file at a time; pre-buffering would hold a whole row group, which may be the whole file
        return pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 16)
    except _DAMAGED as error:
        raise ValueError(f"{path}: no readable parquet file: {error}") from error


def parquet_rows(
    path: Path, wanted: Container[int], columns: Sequence[str] | None = None
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Number, from 0, and content of the wanted rows, in order; row groups without any are passed over.

    `datasets` is not used here: streaming a local file, it holds a whole row group (measured with datasets 5.2.0 on one
    group of 80 MB, whatever its batch size: 80 MB there, 21 MB here), and it takes a folder named `a[1]` for a pattern.

    Raises: ValueError with the file and about where it is damaged, or holds text of another encoding than UTF-8.
    """
    file, number = open_parquet(path), 0
    try:
        for number, batch in _batches(file, wanted, columns):
            for _ in range(batch.num_rows):
                if number in wanted:
                    yield number, batch.slice(0, 1).to_pylist()[0]
                batch, number = batch.slice(1), number + 1
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}, row {number}: a text is not UTF-8: {error}") from error
    except _DAMAGED as error:
        raise ValueError(f"{path}, at row {number} or after: damaged: {error}") from error


# What pyarrow raises for bytes that are no parquet.
_DAMAGED = (pa.ArrowException, ValueError, OSError, OverflowError)


def _batches(
    file: pq.ParquetFile, wanted: Container[int], columns: Sequence[str] | None
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Batches of rows with the number of their first."""
    first = 0
    for group in range(file.num_row_groups):
        end = first + file.metadata.row_group(group).num_rows
        if any(number in wanted for number in range(first, end)):
            for batch in file.iter_batches(ROWS_AT_ONCE, row_groups=[group], columns=columns):
                yield first, batch
                first += batch.num_rows
        first = end
