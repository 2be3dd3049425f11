# SPDX-License-Identifier: Apache-2.0
"""A file of records that have a `step`, kept where a run goes on after an interruption."""

import shutil
from pathlib import Path
from typing import Generic, TypeVar

from verl_df.io.files import whole_path
from verl_df.io.lines import Lines, RecordWriter
from verl_df.method.group_records import GroupRecord
from verl_df.method.records import PairRecord
from verl_df.method.token_arrays import TokenArrays

Stepped = TypeVar("Stepped", bound=PairRecord | TokenArrays | GroupRecord)


class StepLog(Generic[Stepped]):
    """Appends records of a run; nothing is created before the first one.

    Args:
        path: NAME.jsonl; what an earlier run left is set aside as NAME.1.jsonl, NAME.2.jsonl, ...
        lines: the form of its records.
    """

    def __init__(self, path: Path, lines: Lines[Stepped]) -> None:
        self._path, self._lines = path, lines
        self._writer: RecordWriter[Stepped] | None = None

    def start_after(self, step: int) -> None:
        """Keep the records of an earlier run in the same folder up to the step that this one goes on from (0: none).

        The steps after it are done again, and would be in the file twice. The file as it was is set aside.

        Raises:
            InUse: another run writes it.
        """
        path = self._path
        if not path.exists():
            return
        aside = path.with_name(f"{path.stem}.{len(list(path.parent.glob(f'{path.stem}.*.jsonl'))) + 1}.jsonl")
        with self._lines.writer(path):  # nobody else writes it; what a crash left of a last line is cut off
            if step > 0:
                with whole_path(aside) as copy:
                    shutil.copyfile(path, copy)
                # path keeps its content until this is whole: the run may be killed here too, or find the disk full
                self._lines.write(path, (record for record in self._lines.read(aside) if record.step <= step))
            else:
                path.rename(aside)

    def append(self, record: Stepped) -> None:
        """Write one record."""
        if self._writer is None:
            self._writer = self._lines.writer(self._path)
        self._writer.write(record)
