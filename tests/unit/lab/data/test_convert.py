# SPDX-License-Identifier: Apache-2.0
"""A conversion from end to end: rows, summary, going on after a crash, and that verl and we can read the result."""

import json
import re

import pyarrow.parquet as pq
import pytest
from omegaconf import OmegaConf

from tests import ROOT
from tests.unit.lab.data.support import (
    GEOMETRY3K,
    ROWS,
    geometry3k,
    picture,
    row_of,
    rows_of,
    run,
    text_of,
    write_parquet,
)
from verl_df.io.pictures import FORMATS
from verl_df.judges.final_answer import compute_score
from verl_df.lab.data import convert as conversion
from verl_df.lab.data.prompts import BOXED
from verl_df.lab.data.reading import file_rows
from verl_df.lab.data.sources import SOURCES, table
from verl_df.lab.rl_data import RLData
from verl_df.rows.faults import Reason
from verl_df.settings.checks import check_data_file


@pytest.fixture
def folder(tmp_path):
    """Ten rows in two files, of which 2 (no answer) and 7 (broken image) cannot be used."""
    rows = [geometry3k(number) for number in range(10)]
    rows[2] = geometry3k(2, answer=" ")
    rows[7] = geometry3k(7, images=[{"bytes": b"broken", "path": None}])
    write_parquet(tmp_path / "geo/data/train-00000-of-00002.parquet", rows[:6], GEOMETRY3K)
    write_parquet(tmp_path / "geo/data/train-00001-of-00002.parquet", rows[6:], GEOMETRY3K)
    write_parquet(tmp_path / "geo/data/test-00000-of-00001.parquet", [geometry3k(99)], GEOMETRY3K)
    return tmp_path / "geo"


READER = "verl_df.lab.data.inputs.file_rows"


def convert(folder, out, *more):
    return run("convert", "geometry3k", "--from", folder, "--out", out, "--part-rows", 3, *more)


def test_rows_and_summary(folder, tmp_path, capsys) -> None:
    assert convert(folder, tmp_path / "out") == 0
    out = capsys.readouterr().out
    assert out == (
        f"{tmp_path}/out/geometry3k_train.parquet: 8 rows\n10 rows read, 8 kept, 2 dropped\n"
        "  image does not open: 1 (train_7)\n  no answer: 1 (train_2)\n"
    )
    rows = rows_of(tmp_path / "out/geometry3k_train.parquet")
    assert [row["extra_info"]["index"] for row in rows] == [0, 1, 3, 4, 5, 6, 8, 9]
    assert rows[2] == {
        "data_source": "geometry3k",
        "prompt": [{"role": "user", "content": f"<image>Find x, 3.\n{BOXED}"}],
        "images": [{"bytes": picture(3)}],
        "ability": "math",
        "reward_model": {"style": "rule", "ground_truth": "3 \\sqrt { 3 }"},
        "extra_info": {
            "id": "train_3",
            "split": "train",
            "index": 3,
            "question": "<image>Find x, 3.",
            "choices": [],
            "answer": "3 \\sqrt { 3 }",
        },
    }
    summary = json.loads((tmp_path / "out/geometry3k_train.summary.json").read_text())
    assert {key: summary[key] for key in ("rows", "kept", "dropped")} == {
        "rows": 10,
        "kept": 8,
        "dropped": {
            "image does not open": {"rows": 1, "first": ["train_7"]},
            "no answer": {"rows": 1, "first": ["train_2"]},
        },
    }
    lines = (tmp_path / "out/geometry3k_train.dropped.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"id": "train_2", "where": "train-00000-of-00002.parquet, row 2", "reason": "no answer", "detail": ""},
        {
            "id": "train_7",
            "where": "train-00001-of-00002.parquet, row 1",
            "reason": "image does not open",
            "detail": f"image 0: 6 bytes in no known image format ({', '.join(FORMATS)} are read)",
        },
    ]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "geometry3k_train.dropped.jsonl",
        "geometry3k_train.parquet",
        "geometry3k_train.summary.json",
    ]


def test_a_killed_conversion_goes_on_to_the_same_result(folder, tmp_path, monkeypatch, capsys) -> None:
    assert convert(folder, tmp_path / "whole") == 0
    for stop in (1, 4, 8):
        out, started = tmp_path / f"killed_{stop}", []

        def killed(paths, root, start, stop=stop):
            for raw in file_rows(paths, root, start):
                if geometry3k(stop)["problem"] == raw.row["problem"]:
                    raise KeyboardInterrupt
                yield raw

        def watched(paths, root, start, started=started):
            started.append(start)
            return file_rows(paths, root, start)

        monkeypatch.setattr(READER, killed)
        with pytest.raises(KeyboardInterrupt):
            convert(folder, out)
        assert not (out / "geometry3k_train.parquet").exists()
        monkeypatch.setattr(READER, watched)
        assert convert(folder, out) == 0
        assert started == [stop // 3 * 3]  # whole parts of three rows are not read again
        for name in ("parquet", "dropped.jsonl", "summary.json"):
            again, whole = (path / f"geometry3k_train.{name}" for path in (out, tmp_path / "whole"))
            assert again.read_bytes() == whole.read_bytes()
        assert not (out / "geometry3k_train.parts").exists()


def test_a_crash_while_the_parts_are_joined_does_no_harm(folder, tmp_path, monkeypatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(pq.ParquetWriter, "write_table", full)
        patch.setattr("verl_df.lab.data.store.pq.write_table", pq.write_table)
        assert convert(folder, tmp_path / "out") == 1
    assert not (tmp_path / "out/geometry3k_train.parquet").exists()
    assert convert(folder, tmp_path / "out") == 0
    assert len(rows_of(tmp_path / "out/geometry3k_train.parquet")) == 8


def test_a_finished_conversion_says_so_and_reads_nothing(folder, tmp_path, monkeypatch, capsys) -> None:
    assert convert(folder, tmp_path / "out") == 0
    first = capsys.readouterr().out
    before = (tmp_path / "out/geometry3k_train.parquet").stat().st_mtime_ns
    monkeypatch.setattr(READER, lambda *_: pytest.fail("rows are read"))
    assert convert(folder, tmp_path / "out") == 0
    told = capsys.readouterr()
    assert told.out == first and "geometry3k_train.parquet is there already, whole" in told.err
    assert (tmp_path / "out/geometry3k_train.parquet").stat().st_mtime_ns == before


@pytest.mark.parametrize("finished", [True, False])
def test_other_settings_are_refused_with_what_differs(folder, tmp_path, finished, capsys, monkeypatch) -> None:
    with monkeypatch.context() as patch:
        if not finished:
            patch.setattr("verl_df.lab.data.store.Store.finish", lambda *_: (_ for _ in ()).throw(OSError("full")))
        assert convert(folder, tmp_path / "out") == (0 if finished else 1)
    capsys.readouterr()
    assert convert(folder, tmp_path / "out", "--limit", 4) == 1
    assert "was begun with other settings: limit None there, 4 now. Give the same ones" in capsys.readouterr().err
    write_parquet(folder / "data/train-00001-of-00002.parquet", [geometry3k(7)], GEOMETRY3K)
    assert convert(folder, tmp_path / "out") == 1
    assert "state ['data/train-00000-of-00002.parquet: " in capsys.readouterr().err


def test_a_result_of_somebody_else_is_not_replaced(folder, tmp_path, capsys) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/geometry3k_train.parquet").write_bytes(b"mine")
    assert convert(folder, tmp_path / "out") == 1
    assert "is there without its summary.json: not replaced" in capsys.readouterr().err
    assert (tmp_path / "out/geometry3k_train.parquet").read_bytes() == b"mine"


def test_limit_split_prompt_and_instruction(folder, tmp_path, capsys) -> None:
    assert convert(folder, tmp_path / "out", "--limit", 4) == 0
    assert [row["extra_info"]["index"] for row in rows_of(tmp_path / "out/geometry3k_train.parquet")] == [0, 1, 3]
    words = tmp_path / "words.txt"
    words.write_text("Put it in \\boxed{}.\n")
    assert convert(folder, tmp_path / "out", "--split", "test", "--instruction-file", words) == 0
    (row,) = rows_of(tmp_path / "out/geometry3k_test.parquet")
    assert text_of(row) == "<image>Find x, 99.\nPut it in \\boxed{}."
    assert row["extra_info"]["split"] == "test"


def test_memory_is_bounded_by_the_size_of_a_part(folder, tmp_path, monkeypatch) -> None:
    """Parts end at a number of rows or of bytes, whichever comes first; one row group each."""
    assert convert(folder, tmp_path / "rows") == 0
    monkeypatch.setattr(conversion, "PART_BYTES", 2 * len(picture()))
    assert convert(folder, tmp_path / "bytes") == 0
    groups = {}
    for name in ("rows", "bytes"):
        file = pq.ParquetFile(tmp_path / name / "geometry3k_train.parquet")
        groups[name] = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
    assert groups == {"rows": [2, 3, 2, 1], "bytes": [2, 2, 2, 2]}
    assert rows_of(tmp_path / "rows/geometry3k_train.parquet") == rows_of(tmp_path / "bytes/geometry3k_train.parquet")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--limit", 0], "--limit 0: 1 or more"),
        (["--prompt", "published"], "--prompt published: geometry3k is training data without a published prompt"),
        (["--instruction", ""], "the instruction is empty"),
        (["--split", "train[:10]"], "--split 'train[:10]': letters, digits"),
        (
            ["--split", "validation"],
            "no parquet file of split 'validation' (there is data/test-00000-of-00001.parquet, ",
        ),
        (["--name", "mine"], "--name, --carry and --preferred belong to the source 'jsonl'"),
    ],
)
def test_bad_arguments(folder, tmp_path, arguments, message, capsys) -> None:
    assert convert(folder, tmp_path / "out", *arguments) == 1
    err = capsys.readouterr().err
    assert err.startswith("error: ") and message in err
    assert not (tmp_path / "out").exists()


def test_the_wrong_source_and_a_split_without_answers(folder, tmp_path, capsys) -> None:
    file = folder / "data/train-00000-of-00002.parquet"
    assert run("convert", "ai2d", "--from", file, "--out", tmp_path / "out") == 1
    assert "row 0: no 'question' (it has images, problem, answer): is this ai2d?" in capsys.readouterr().err
    hidden = write_parquet(tmp_path / "test.parquet", 2 * [row_of("mathvista", answer="")])
    assert run("convert", "mathvista", "--from", hidden, "--split", "test", "--out", tmp_path / "out") == 1
    assert "none of 2 rows could be kept (no answer: 2); see" in capsys.readouterr().err
    assert (tmp_path / "out/mathvista_test.dropped.jsonl").read_text().count("no answer") == 2


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_rows_of_every_source_can_be_read(name, tmp_path) -> None:
    """By us, by our checks before a run, and with an answer that scores."""
    (tmp_path / "images/set").mkdir(parents=True)
    (tmp_path / "images/set/3.png").write_bytes(picture(3))
    file = write_parquet(tmp_path / "rows.parquet", 2 * [ROWS[name]])
    assert run("convert", name, "--from", file, "--out", tmp_path / "out") == 0
    result = tmp_path / f"out/{name}_{SOURCES[name].split}.parquet"
    check_data_file("data.train_files", str(result), "images", "prompt", -1)
    data = RLData(result)
    data.check(range(2))
    prompts = list(data.prompts(range(2)))
    assert [prompt.index for prompt in prompts] == [0, 1]
    for prompt in prompts:
        assert prompt.data_source == name
        boxed = f"So: \\boxed{{{prompt.ground_truth}}}"
        assert compute_score(name, boxed, prompt.ground_truth, prompt.extra_info)["score"] == 1.0


def test_verl_reads_the_rows(processor, tmp_path) -> None:
    from verl.utils.dataset.rl_dataset import RLHFDataset

    file = write_parquet(tmp_path / "rows.parquet", [ROWS["mmmu"]])
    assert run("convert", "mmmu", "--from", file, "--out", tmp_path / "out") == 0
    config = OmegaConf.create({"prompt_key": "prompt", "image_key": "images", "filter_overlong_prompts": False})
    paths = str(tmp_path / "out/mmmu_validation.parquet")
    (row,) = list(RLHFDataset(paths, processor.tokenizer, config, processor))
    kinds = [part["type"] for part in row["raw_prompt"][0]["content"]]
    assert kinds == ["text", "image", "text", "image", "text", "image", "text"]
    assert row["reward_model"]["ground_truth"] == "B"


def test_the_table_of_sources_and_the_reasons_are_in_the_documentation(capsys) -> None:
    """Else paste what `verl-df data list` prints, and the reasons of verl_df/rows/faults.py."""
    assert run("list") == 0
    assert capsys.readouterr().out.strip() == table()
    assert "| `mathvista` | `AI4Math/MathVista` | `testmini` | published | math |" in table().splitlines()
    page = (ROOT / "docs/data.md").read_text(encoding="utf-8")
    assert table() in page
    assert re.findall(r"^\| (.+?) \|", page.split("| reason |")[1], re.MULTILINE)[1:] == [
        str(reason) for reason in Reason
    ]
    for source in SOURCES.values():
        (row,) = re.findall(rf"^\| `{source.name}` \| [^`]*.*\|$", page.split("### extra_info")[1], re.MULTILINE)
        assert set(source.extra) <= set(re.findall(r"`(\w+)`", row))


def test_two_conversions_to_the_same_files_do_not_mix(folder, tmp_path, capsys, monkeypatch) -> None:
    """The second begins while the first has written a part."""
    out, second = tmp_path / "out", []

    def rows(*arguments):
        for number, row in enumerate(file_rows(*arguments)):
            if number == 4:
                monkeypatch.undo()
                second.append(convert(folder, out, "--instruction", "Say it in words."))
                second.append(run("convert", "jsonl", "--from", own, "--out", out, "--name", "own"))
            yield row

    own = tmp_path / "own.jsonl"
    own.write_text("")
    monkeypatch.setattr(READER, rows)
    assert convert(folder, out) == 0
    assert second == [1, 1]  # the other one, to files of its own, found no rows
    told = capsys.readouterr().err
    assert f"error: {out}/geometry3k_train: process " in told and "none of 0 rows" in told
    prompts = {row["prompt"][0]["content"].rpartition("?")[2] for row in rows_of(out / "geometry3k_train.parquet")}
    assert not any("words" in prompt for prompt in prompts)
    assert not list(out.glob(".*"))


@pytest.mark.parametrize(
    "content", ["{}", "[]", "[" * 9000, '{"settings": 5}', '{"settings": {}, "rows": "1", "kept": 1, "dropped": {}}']
)
def test_a_broken_summary_is_named(folder, tmp_path, capsys, content) -> None:
    assert convert(folder, tmp_path / "out") == 0
    (tmp_path / "out/geometry3k_train.summary.json").write_text(content)
    assert convert(folder, tmp_path / "out") == 1
    assert "geometry3k_train.summary.json: " in capsys.readouterr().err
