# SPDX-License-Identifier: Apache-2.0
"""The rows of a parquet file, checked."""

from collections.abc import Container, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from verl_df.io.streams import ROWS_AT_ONCE, batches, open_parquet, parquet_rows
from verl_df.rows.check import RowRules, check_row
from verl_df.rows.columns import COLUMNS, MEDIA
from verl_df.rows.faults import RowError
from verl_df.rows.features import decodes_images, holds_images


class RowFile:
    """A parquet file of verl's RL rows; rows are read on demand.

    Attributes: path; schema: of the file; rows: their number; rules: what is asked of each.

    Args: path; rules: those of `rows.check`; folder and kind of the images are taken from the file.

    Raises: ValueError for a file that is no parquet, or lacks a column.
    """

    def __init__(self, path: Path, rules: RowRules) -> None:
        file = open_parquet(path)
        self.path, self.schema = path, file.schema_arrow
        self.rows: int = file.metadata.num_rows
        self.rules = replace(
            rules,
            folder=path.parent,
            by_datasets=decodes_images(self.schema, rules.image_key),
            frames_by_datasets=holds_images(self.schema, rules.video_key),
        )
        has_videos = rules.videos and rules.video_key in self.schema.names
        others = [column.name for column in COLUMNS if column.needed]
        needed = [rules.prompt_key, *([] if rules.text_only or has_videos else [rules.image_key]), *others]
        missing = next((name for name in needed if name not in self.schema.names), None)
        if missing:
            raise ValueError(
                f"{path} has no column {missing!r} (it has {', '.join(self.schema.names)}): write verl's multimodal "
                "format, or for training name the columns with data.prompt_key and data.image_key"
            )
        known = {*needed, *(column.name for column in COLUMNS), *(rules.column_of(media) for media in MEDIA)}
        self._columns = [name for name in self.schema.names if name in known]

    def read(self, wanted: Container[int]) -> Iterator[tuple[int, dict[str, Any]]]:
        """Number and columns of the wanted rows, in order. Raises: ValueError with file and row number."""
        return parquet_rows(self.path, wanted, self._columns)

    def check(self, wanted: Container[int], *, preferred: bool = False) -> int:
        """Read the wanted rows and decode their images. preferred: whether each needs a preferred response.

        Returns: how many videos one of them has, at most.

        Raises: ValueError for the first row that cannot be used, with file and row number.
        """
        most = 0
        problem_of = partial(_problem, replace(self.rules, preferred=preferred))
        with ThreadPoolExecutor() as pool:
            for rows in batches(self.read(wanted), ROWS_AT_ONCE):
                for (index, _), problem in zip(rows, pool.map(problem_of, rows), strict=True):
                    if problem:
                        raise ValueError(f"{self.path}, row {index}: {problem}")
                most = max([most, *(len(row.get(self.rules.video_key) or ()) for _, row in rows)])
        return most


def _problem(rules: RowRules, row: tuple[int, dict[str, Any]]) -> str | None:
    try:
        check_row(row[1], rules)
    except RowError as error:
        return error.detail or str(error)
    return None
