# SPDX-License-Identifier: Apache-2.0
"""A run's ledger on disk, and what it comes to: also over runs that were interrupted and went on."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from verl_df.io.json_lines import cut_half_line
from verl_df.io.lines import RecordWriter
from verl_df.io.validation import checked
from verl_df.ledger.rows import LEDGER, LedgerRow, Parts, total

LEDGER_FILE = "ledger.jsonl"


@checked
class Spent:
    """Totals of a run. steps: that were trained."""

    steps: int = 0
    seconds: Parts = Parts()
    device_seconds: Parts = Parts()

    @classmethod
    def of(cls, rows: Iterable[LedgerRow]) -> "Spent":
        """Of these steps."""
        rows = list(rows)
        return cls(len(rows), total(row.seconds for row in rows), total(row.device_seconds for row in rows))

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(self.steps + other.steps, self.seconds + other.seconds, self.device_seconds + other.device_seconds)


def read_rows(run: Path) -> list[LedgerRow]:
    """The ledger of a run.

    Args:
        run: its folder, or the file itself.

    Raises:
        FileNotFoundError: there is none; the message says which runs have one.
        ValueError: a line is no row, or steps are not in order.
    """
    path = run / LEDGER_FILE if run.is_dir() else run
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no ledger there; runs of recipe.df write {LEDGER_FILE} into their folder (df.log.dir, or "
            "df.log_dir), runs of stock verl do not"
        )
    rows = list(LEDGER.read(path))
    _check_order(path, rows)
    return rows


def _check_order(path: Path, rows: Sequence[LedgerRow]) -> None:
    for before, after in zip(rows, rows[1:], strict=False):
        if after.step <= before.step:
            raise ValueError(f"{path}: step {after.step} comes after step {before.step}, so seconds would count twice")


class Ledger:
    """Writes a run's ledger and knows what was spent, before an interruption too.

    Args:
        folder: of the run; nothing is made before the first row.
        step: that the run goes on from; 0: a new one. Rows up to it stay, those after it, which are done again, go.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self._path = folder / LEDGER_FILE
        self._writer: RecordWriter[LedgerRow] | None = None
        kept: list[LedgerRow] = []
        if self._path.exists():
            cut_half_line(self._path)  # of a run that was killed
            kept = [row for row in read_rows(self._path) if row.step <= step] if step else []
            LEDGER.write(self._path, kept)
        self.spent = Spent.of(kept)

    def write(self, row: LedgerRow) -> None:
        """Append a step."""
        if self._writer is None:
            self._writer = LEDGER.writer(self._path)
        self._writer.write(row)
        self.spent += Spent.of([row])
