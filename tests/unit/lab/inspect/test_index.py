# SPDX-License-Identifier: Apache-2.0
"""The index of pairs: places of records, values to sort by, files that grow, break or are replaced."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.lab.inspect import runs
from verl_df.lab.inspect.index import COLUMNS, PairIndex, summary
from verl_df.method.metrics import mask_truth
from verl_df.method.records import PAIRS


def as_dicts(index: PairIndex) -> list[dict]:
    return [dict(zip(COLUMNS, row, strict=True)) for row in index.rows]


def whole(path: Path) -> PairIndex:
    index = PairIndex(path)
    while index.read_on(5):
        pass
    return index


def test_each_row_points_at_its_record(run_folder: Path):
    path = run_folder / "pairs.jsonl"
    content, records = path.read_bytes(), list(PAIRS.read(path))
    rows = as_dicts(whole(path))
    assert [row["line"] for row in rows] == list(range(1, len(records) + 1))
    for row, record in zip(rows, records, strict=True):
        line = content[row["offset"] : row["offset"] + row["length"]]
        assert PAIRS.load(line.decode("utf-8")) == record
        assert (row["step"], row["uid"], row["tokens"]) == (record.step, record.uid, len(record.error.token_ids))


def test_values_to_sort_by(run_folder: Path):
    for record in PAIRS.read(run_folder / "pairs.jsonl"):
        row = dict(zip(COLUMNS[3:], summary(record), strict=True))
        assert row["ratio"] == record.edit_ratio
        assert row["reasons"] == sorted({reason for reason in record.rejections if reason})
        assert not row["empty"]
        if record.repair is None:
            assert row["density"] is None
        else:
            assert row["density"] == pytest.approx(sum(record.error.mask) / 12, abs=1e-4)
        if record.repair is None or record.truth_mask is None:
            assert row["disagreement"] is row["precision"] is row["recall"] is None
        else:
            found = mask_truth(record.error.gate, record.truth_mask)
            assert row["disagreement"] == pytest.approx((found.fp + found.fn) / 12, abs=1e-4)
            assert row["precision"] == pytest.approx(found.tp / (found.tp + found.fp), abs=1e-4)
            assert row["recall"] == pytest.approx(found.tp / (found.tp + found.fn), abs=1e-4)


def test_parts_together_are_the_whole(run_folder: Path):
    path = run_folder / "pairs.jsonl"
    index, rows, more = PairIndex(path), [], True
    while more:
        part = index.part(len(rows), 5)
        rows, more = rows + part["rows"], part["more"]
        assert len(part["rows"]) <= 5
    assert rows == whole(path).rows


def test_a_line_that_is_being_written_waits_for_its_end(run_folder: Path, tmp_path: Path):
    content, path = (run_folder / "pairs.jsonl").read_bytes(), tmp_path / "growing.jsonl"
    cut = content.index(b"\n", len(content) // 2) + 40
    path.write_bytes(content[:cut])
    index = PairIndex(path)
    first = index.part(0, 100)
    assert not first["more"] and not first["faults"]
    with path.open("ab") as file:
        file.write(content[cut:])
    later = index.part(len(first["rows"]), 100)
    assert first["rows"] + later["rows"] == whole(run_folder / "pairs.jsonl").rows
    assert later["generation"] == first["generation"]


def test_broken_lines_are_named_and_hide_no_other(run_folder: Path):
    path = run_folder / "pairs.jsonl"
    lines = path.read_bytes().splitlines()
    lines[1:1] = [b"{", b"\xff\xfe", b"", b'{"schema_version":9}', b"[" * 5000]
    path.write_bytes(b"\n".join(lines) + b"\n")
    index = whole(path)
    assert [line for line, _ in index.faults] == [2, 3, 5, 6]
    assert "schema_version is 9" in index.faults[2][1]
    assert [row["line"] for row in as_dicts(index)] == [1, *range(7, 18)]


def test_a_shorter_file_starts_anew(run_folder: Path):
    path = run_folder / "pairs.jsonl"
    index = whole(path)
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])
    part = index.part(0, 100)
    assert part["generation"] == 1 and len(part["rows"]) == 1
    assert whole(path).rows == part["rows"]


def test_a_file_that_is_not_there_yet(run_folder: Path, tmp_path: Path):
    index = PairIndex(tmp_path / "later.jsonl")
    assert index.part(0, 10)["rows"] == []
    shutil.copy(run_folder / "pairs.jsonl", index.path)
    assert len(index.part(0, 100)["rows"]) == 12


def test_a_repair_that_is_not_trained_on_is_no_empty_mask():
    one = runs.record(1)
    untrained = replace(one, repair=replace(one.repair, gate=(0.0,) * len(one.repair.gate)))
    unmarked = replace(one, repair=replace(one.repair, mask=(0,) * len(one.repair.mask)))
    ungated = replace(one, error=replace(one.error, gate=(0.0,) * len(one.error.gate)))
    place = COLUMNS.index("empty") - COLUMNS.index("step")
    assert [summary(pair)[place] for pair in (one, untrained, unmarked, ungated)] == [False, False, True, True]
