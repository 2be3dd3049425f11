# SPDX-License-Identifier: Apache-2.0
"""The files of one conversion: parts while it runs, one parquet file with its summary when it is done.

DIR/NAME_SPLIT.parts/settings.json, part-00000.parquet, part-00000.json, ...     while it runs
DIR/NAME_SPLIT.parquet, NAME_SPLIT.dropped.jsonl, NAME_SPLIT.summary.json        when it is done
"""

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from verl_df.io.files import whole_file, whole_path, write_json
from verl_df.lab.data.summary import summarise
from verl_df.lab.resume import check_same_settings


class Store:
    """Paths of a conversion, and what is written there. name: NAME_SPLIT."""

    def __init__(self, folder: Path, name: str) -> None:
        self.parquet = folder / f"{name}.parquet"
        self.dropped = folder / f"{name}.dropped.jsonl"
        self._summary = folder / f"{name}.summary.json"
        self.parts = folder / f"{name}.parts"
        self._kept = self.parts / "settings.json"

    def settings(self) -> dict[str, Any] | None:
        """The settings of a conversion that is finished or has a first part; None before."""
        done = self.summary()
        if done is not None:
            return done["settings"]
        return _read(self._kept) if self._record(0).exists() else None

    def keep_settings(self, settings: dict[str, Any]) -> None:
        """Write the settings, or compare them with those of a conversion that is there, finished or with a first part.

        Raises: ValueError with what differs, or where the files are not this program's.
        """
        there = self.settings()
        if there is not None:
            check_same_settings(self.parquet, there, settings)
        elif self.parquet.exists():
            raise ValueError(f"{self.parquet} is there without its summary.json: not replaced; give another --out")
        else:
            write_json(self._kept, settings)

    def records(self) -> Iterator[dict[str, Any]]:
        """What is known of each part that was written whole, in order: rows, kept, dropped."""
        number = 0
        while self._record(number).exists():
            yield _read(self._record(number))
            number += 1

    def write_part(self, number: int, table: pa.Table, dropped: Sequence[dict[str, str]]) -> None:
        """Write part `number` with the rows kept and dropped. Its record comes last: with it the part counts."""
        with whole_path(self._part(number)) as partial:
            pq.write_table(table, partial)
        rows = table.num_rows + len(dropped)
        write_json(self._record(number), {"rows": rows, "kept": table.num_rows, "dropped": list(dropped)})

    def finish(self, schema: pa.Schema, settings: dict[str, Any]) -> dict[str, Any]:
        """Join the parts, one row group each, and remove them. A crash in between does no harm: it is done again.

        Returns: the summary.

        Raises: ValueError where no row was kept at all; what was dropped is written nevertheless.
        """
        with whole_file(self.dropped) as file:
            for record in self.records():
                file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in record["dropped"])
        summary = summarise(self.records())
        if not summary["kept"]:
            reasons = ", ".join(f"{reason}: {found['rows']}" for reason, found in summary["dropped"].items())
            raise ValueError(
                f"none of {summary['rows']} rows could be kept ({reasons or 'the source is empty'}); see {self.dropped}"
            )
        with whole_path(self.parquet) as partial, pq.ParquetWriter(partial, schema) as writer:
            for number, record in enumerate(self.records()):
                if record["kept"]:
                    writer.write_table(pq.read_table(self._part(number), schema=schema))
        write_json(self._summary, {"settings": settings, **summary})
        self.remove_parts()
        return summary

    def summary(self) -> dict[str, Any] | None:
        """The summary of a conversion that is done; None before."""
        return _read(self._summary) if self._summary.exists() else None

    def remove_parts(self) -> None:
        """Remove what a finished conversion no longer needs."""
        if self.parts.exists():
            shutil.rmtree(self.parts)

    def _part(self, number: int) -> Path:
        return self.parts / f"part-{number:05d}.parquet"

    def _record(self, number: int) -> Path:
        return self.parts / f"part-{number:05d}.json"


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))
