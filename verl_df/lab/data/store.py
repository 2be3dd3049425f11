# SPDX-License-Identifier: Apache-2.0
"""The files of one conversion: parts while it runs, one parquet file with its summary when it is done.

DIR/NAME_SPLIT.parts/settings.json, rows-00000.parquet, ...                      while it runs
DIR/NAME_SPLIT.parquet, NAME_SPLIT.dropped.jsonl, NAME_SPLIT.summary.json        when it is done
"""

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from verl_df.io.files import read_object, whole_file, whole_path, write_json
from verl_df.lab.data.summary import summarise
from verl_df.lab.resume import check_same_settings

# Of a part only: null for a row that is kept; for one that is not, a line of dropped.jsonl, and its other columns null.
_DROPPED = pa.field("dropped", pa.struct(dict.fromkeys(("id", "where", "reason", "detail"), pa.string())))


class Store:
    """Paths of a conversion, and what is written there.

    Args:
        folder: of the result.
        name: NAME_SPLIT.
        schema: of the rows.
    """

    def __init__(self, folder: Path, name: str, schema: pa.Schema) -> None:
        self.parquet = folder / f"{name}.parquet"
        self._dropped = folder / f"{name}.dropped.jsonl"
        self._summary = folder / f"{name}.summary.json"
        self._folder = folder / f"{name}.parts"
        self._kept = self._folder / "settings.json"
        self._schema = schema

    def settings(self) -> dict[str, Any] | None:
        """The settings of a conversion that is finished or has a first part; None before."""
        done = self.summary()
        if done is not None:
            return done["settings"]
        return read_object(self._kept) if self._parts() else None

    def keep_settings(self, settings: dict[str, Any]) -> None:
        """Write the settings, or compare them with those of a conversion that is there, finished or with a first part.

        Raises:
            ValueError: with what differs, or where the files are not this program's.
        """
        there = self.settings()
        if there is not None:
            check_same_settings(self.parquet, there, settings)
        elif self.parquet.exists():
            raise ValueError(f"{self.parquet} is there without its summary.json: not replaced; give another --out")
        else:
            write_json(self._kept, settings)

    def rows(self) -> int:
        """Rows of the source in the parts that were written whole."""
        return sum(pq.read_metadata(part).num_rows for part in self._parts())

    def write_part(self, outcomes: Sequence[dict[str, Any]]) -> None:
        """Write the next part. outcomes: a row, or {"dropped": line of dropped.jsonl}, for each row of the source."""
        table = pa.Table.from_pylist(outcomes, schema=self._schema.append(_DROPPED))
        with whole_path(self._folder / f"rows-{len(self._parts()):05d}.parquet") as partial:
            pq.write_table(table, partial)

    def finish(self, settings: dict[str, Any]) -> dict[str, Any]:
        """Join the parts, one row group each, and remove them. A crash in between does no harm: it is done again.

        Returns:
            the summary.

        Raises:
            ValueError: no row was kept at all; what was dropped is written nevertheless.
        """
        with whole_file(self._dropped) as file:
            file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in self._drops())
        summary = summarise(self.rows(), self._drops())
        if not summary["kept"]:
            reasons = [f"{reason}: {found['rows']}" for reason, found in summary["dropped"].items()]
            why = ", ".join(reasons or ["the source is empty"])
            raise ValueError(f"none of {summary['rows']} rows could be kept ({why}); see {self._dropped}")
        with whole_path(self.parquet) as partial, pq.ParquetWriter(partial, self._schema) as writer:
            for part in self._parts():
                table = pq.read_table(part)
                kept = table.filter(table["dropped"].is_null()).select(self._schema.names)
                if kept.num_rows:
                    writer.write_table(kept)
        write_json(self._summary, {"settings": settings, **summary})
        self.remove_parts()
        return summary

    def summary(self) -> dict[str, Any] | None:
        """The summary of a conversion that is done; None before."""
        if not self._summary.exists():
            return None
        summary = read_object(self._summary)
        kinds = {"settings": dict, "rows": int, "kept": int, "dropped": dict}
        wrong = [name for name, kind in kinds.items() if not isinstance(summary.get(name), kind)]
        if wrong:
            raise ValueError(f"{self._summary}: no summary of a conversion ({wrong[0]} is missing or of another kind)")
        return summary

    def remove_parts(self) -> None:
        """Remove what a finished conversion no longer needs."""
        if self._folder.exists():
            shutil.rmtree(self._folder)

    def _parts(self) -> list[Path]:
        return sorted(self._folder.glob("rows-*.parquet"))

    def _drops(self) -> Iterator[dict[str, str]]:
        for part in self._parts():
            yield from pq.read_table(part, columns=["dropped"])["dropped"].drop_null().to_pylist()
