# SPDX-License-Identifier: Apache-2.0
"""Totals of runs, and of those that were interrupted."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verl_df.ledger.rows import LEDGER, NAMES, LedgerRow, Parts, step_row
from verl_df.ledger.spent import LEDGER_FILE, Ledger, Spent, read_rows


def row(step: int, rollout: float = 2.0, wall: float = 5.0) -> LedgerRow:
    return step_row(step, wall, Parts(rollout=rollout), devices=2)


def written(folder: Path, after: int, steps: range) -> Ledger:
    """A run that goes on after a step, and ends."""
    ledger = Ledger(folder, after)
    for step in steps:
        ledger.write(row(step, rollout=step / 2))
    if ledger._writer is not None:
        ledger._writer.close()
    return ledger


@given(st.lists(st.tuples(st.floats(0, 1e3), st.floats(0, 1e3)), max_size=8))
def test_totals_are_sums(walls: list[tuple[float, float]]) -> None:
    rows = [row(step, rollout, rollout + rest) for step, (rollout, rest) in enumerate(walls)]
    spent = Spent.of(rows)
    assert spent.steps == len(walls)
    for name in NAMES:
        assert getattr(spent.seconds, name) == pytest.approx(sum(getattr(one.seconds, name) for one in rows))
    assert spent.device_seconds.total == pytest.approx(2 * sum(map(sum, walls)))
    parts = [Spent.of(rows[:3]), Spent.of(rows[3:])]
    assert sum(parts, Spent()).device_seconds.total == pytest.approx(spent.device_seconds.total)


def test_a_run_that_goes_on_knows_what_was_spent(tmp_path: Path) -> None:
    """Steps 4 and 5 came after the last checkpoint: they are done again and count once."""
    assert written(tmp_path, 0, range(1, 6)).spent.steps == 5
    with (tmp_path / LEDGER_FILE).open("a") as file:
        file.write('{"schema_ver')  # it was killed
    resumed = written(tmp_path, 3, range(4, 8))
    whole = Spent.of(row(step, rollout=step / 2) for step in range(1, 8))
    assert resumed.spent == whole == Spent.of(read_rows(tmp_path))
    assert [one.step for one in LEDGER.read(tmp_path / LEDGER_FILE)] == list(range(1, 8))


def test_a_new_run_in_an_old_folder_has_spent_nothing(tmp_path: Path) -> None:
    written(tmp_path, 0, range(1, 4))
    assert written(tmp_path, 0, range(1, 2)).spent.steps == 1


def test_nothing_is_made_before_the_first_row(tmp_path: Path) -> None:
    assert Ledger(tmp_path / "run", 0).spent == Spent()
    assert not (tmp_path / "run").exists()


def test_what_is_no_ledger(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="runs of stock verl do not"):
        read_rows(tmp_path)
    LEDGER.write(tmp_path / LEDGER_FILE, [row(2), row(2)])
    with pytest.raises(ValueError, match="step 2 comes after step 2"):
        read_rows(tmp_path)
