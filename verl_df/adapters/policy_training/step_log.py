# SPDX-License-Identifier: Apache-2.0
"""A file of records that have a `step`, kept where a run goes on after an interruption."""

from pathlib import Path
from typing import Generic, TypeVar

from verl_df.io.json_lines import cut_half_line
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
        """
        path = self._path
        if not path.exists():
            return
        aside = path.with_name(f"{path.stem}.{len(list(path.parent.glob(f'{path.stem}.*.jsonl'))) + 1}.jsonl")
        path.rename(aside)
        if step > 0:
            cut_half_line(aside)  # of a run that was killed
            for record in self._lines.read(aside):
                if record.step <= step:
                    self.append(record)

    def append(self, record: Stepped) -> None:
        """Write one record."""
        if self._writer is None:
            self._writer = self._lines.writer(self._path)
        self._writer.write(record)
