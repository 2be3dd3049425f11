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
from verl_df.lab.data.summary import Summary


class Store:
    """Paths of a conversion, and what is written there. name: NAME_SPLIT."""

    def __init__(self, folder: Path, name: str) -> None:
        self.parquet = folder / f"{name}.parquet"
        self.dropped = folder / f"{name}.dropped.jsonl"
        self.summary = folder / f"{name}.summary.json"
        self.parts = folder / f"{name}.parts"
        self._kept = self.parts / "settings.json"

    def settings(self) -> dict[str, Any] | None:
        """The settings of a conversion that is finished or has a first part; None before."""
        if self.summary.exists():
            return _read(self.summary)["settings"]
        return _read(self._kept) if self._record(0).exists() else None

    def keep_settings(self, settings: dict[str, Any]) -> None:
        """Write the settings, or compare them with those of a conversion that is there, finished or with a first part.

        Raises: ValueError with what differs, or where the files are not this program's.
        """
        there = self.settings()
        if there is None:
            if self.parquet.exists():
                raise ValueError(f"{self.parquet} is there without its summary.json: not replaced; give another --out")
            write_json(self._kept, settings)
            return
        differing = [
            f"{name} {there.get(name)!r} there, {value!r} now"
            for name, value in settings.items()
            if there.get(name) != value
        ]
        if differing:
            raise ValueError(
                f"{self.parquet} was begun with other settings: {'; '.join(differing)}. Give the same ones, or another "
                "--out"
            )

    def records(self) -> Iterator[dict[str, Any]]:
        """What is known of each part that was written whole, in order: rows, kept, dropped."""
        number = 0
        while self._record(number).exists():
            yield _read(self._record(number))
            number += 1

    def write_part(self, number: int, table: pa.Table, dropped: Sequence[dict[str, str]], rows: int) -> None:
        """Write part `number`, of `rows` rows of the source. Its record comes last: with it the part counts."""
        with whole_path(self._part(number)) as partial:
            pq.write_table(table, partial)
        write_json(self._record(number), {"rows": rows, "kept": table.num_rows, "dropped": list(dropped)})

    def finish(self, schema: pa.Schema, settings: dict[str, Any]) -> Summary:
        """Join the parts, one row group each, and remove them. A crash in between does no harm: it is done again.

        Raises: ValueError where no row was kept at all; what was dropped is written nevertheless.
        """
        summary = Summary()
        with whole_file(self.dropped) as file:
            for record in self.records():
                summary.add(record)
                file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in record["dropped"])
        if not summary.kept:
            reasons = ", ".join(f"{reason}: {count}" for reason, count in summary.dropped.items())
            raise ValueError(
                f"none of {summary.rows} rows could be kept ({reasons or 'the source is empty'}); see {self.dropped}"
            )
        with whole_path(self.parquet) as partial, pq.ParquetWriter(partial, schema) as writer:
            for number, record in enumerate(self.records()):
                if record["kept"]:
                    writer.write_table(pq.read_table(self._part(number), schema=schema))
        write_json(self.summary, {"settings": settings, **summary.as_json()})
        self.remove_parts()
        return summary

    def read_summary(self) -> Summary | None:
        """The summary of a conversion that is done; None before."""
        return Summary.from_json(_read(self.summary)) if self.summary.exists() else None

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
