# SPDX-License-Identifier: Apache-2.0
"""`verl-df data check`: the kinds of a data set's ground truths."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from verl_df.cli import main


def write(path, rows):
    table = [
        {"data_source": source, "reward_model": {"ground_truth": truth}, "extra_info": extra}
        for source, truth, extra in rows
    ]
    pq.write_table(pa.Table.from_pylist(table), path)
    return str(path)


def test_the_share_of_each_kind(tmp_path, capsys):
    rows = [("mine", truth, {"id": "1"}) for truth in ("12", "13", "3 1/2", "Paris")]
    assert main(["data", "check", write(tmp_path / "a.parquet", rows)]) == 0
    shown = capsys.readouterr().out
    assert "a.parquet: 4 ground truths" in shown
    assert "| integer | 2 | 50.0% |\n| mixed number | 1 | 25.0% |\n| text | 1 | 25.0% |" in shown
    assert "Each of them, boxed, matches itself." in shown


def test_truths_that_no_response_could_match(tmp_path, capsys):
    choices = {"choices": ["3 cm", "4 cm"], "question_type": "multiple-choice"}
    rows = [
        ("mine", "B", choices),
        ("ai2d", "F", choices),
        ("mine", "", choices),
        ("mmmu", "A", {"choices": [], "question_type": None}),
    ]
    assert main(["data", "check", write(tmp_path / "a.parquet", rows)]) == 0
    shown = capsys.readouterr().out
    assert "3 that no response could match:" in shown
    assert "- row 1: 'F': the ground truth 'F' is none of the options" in shown
    assert "- row 2: ''" in shown and "- row 3: 'A': extra_info has no 'question_type'" in shown


@pytest.mark.parametrize(
    "content", [None, {"prompt": [1]}, {"data_source": ["a"], "reward_model": [{"ground_truth": None}]}]
)
def test_other_files_are_named(tmp_path, capsys, content):
    path = tmp_path / "a.parquet"
    if content is not None:
        pq.write_table(pa.table(content), path)
    assert main(["data", "check", str(path)]) == 1
    assert capsys.readouterr().err.startswith(f"error: {path}: ")
