# SPDX-License-Identifier: Apache-2.0
"""Rows from files, folders and the hub, from any row on."""

import json
from types import SimpleNamespace
from zipfile import ZipFile

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, Features, Image, List, Value
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.lab.data.support import (
    FILES,
    GEOMETRY3K,
    ROWS,
    geometry3k,
    picture,
    row_of,
    rows_of,
    run,
    text_of,
    write_lines,
    write_parquet,
)
from verl_df.io import streams
from verl_df.lab.data.hub import hub_rows
from verl_df.lab.data.inputs import files_of_split, open_input
from verl_df.lab.data.reading import file_rows
from verl_df.lab.data.sources import SOURCES

COMMIT = "c0ffee" + "0" * 34
GEO = SOURCES["geometry3k"]


def indices(rows) -> list[int]:
    return [int(raw.row["number"]) for raw in rows]


@settings(
    suppress_health_check=[*settings.default.suppress_health_check, HealthCheck.function_scoped_fixture],
    max_examples=30,
)
@given(
    counts=st.lists(st.integers(0, 40), min_size=1, max_size=3),
    group=st.integers(1, 20),
    start=st.integers(0, 90),
    kind=st.sampled_from(["parquet", "jsonl", "json"]),
)
def test_any_row_can_be_the_first(tmp_path, counts, group, start, kind) -> None:
    paths, first = [], 0
    for number, count in enumerate(counts):
        rows = [{"number": first + row} for row in range(count)]
        path = tmp_path / f"{number}.{kind}"
        if kind == "parquet":
            write_parquet(path, rows, pa.schema({"number": pa.int64()}), group)
        elif kind == "json":
            path.write_text(json.dumps(rows))
        else:
            write_lines(path, rows)
        paths.append(path)
        first += count
    assert indices(file_rows(paths, tmp_path, start)) == list(range(start, first))


@given(count=st.integers(0, 60), group=st.integers(1, 40), wanted=st.sets(st.integers(0, 70)))
def test_only_the_wanted_rows_of_a_parquet_file(tmp_path_factory, count, group, wanted) -> None:
    rows = [{"number": number} for number in range(count)]
    path = tmp_path_factory.mktemp("rows") / "a.parquet"
    write_parquet(path, rows, pa.schema({"number": pa.int64()}), group)
    found = list(streams.parquet_rows(path, wanted))
    assert found == [(number, rows[number]) for number in sorted(wanted) if number < count]


def test_where_a_row_is_said_to_be(tmp_path) -> None:
    write_parquet(tmp_path / "a.parquet", [{"number": number} for number in range(5)], group=2)
    (tmp_path / "b.jsonl").write_text('\n{"number": 1}\n\n{"number": 2}\n')
    (tmp_path / "c.json").write_text('{"x": {"number": 1}, "y": {"number": 2}}')
    for name, start, places in (
        ("a.parquet", 3, ["row 3", "row 4"]),
        ("b.jsonl", 1, ["line 4"]),
        ("c.json", 0, ["row x", "row y"]),
    ):
        found = [raw.where for raw in file_rows([tmp_path / name], tmp_path, start)]
        assert found == [f"{name}, {place}" for place in places]


def test_the_repositorys_own_json_with_images_in_an_archive(tmp_path) -> None:
    """data/testmini.json of MathVista's repository: rows by id, pictures as paths, no query."""
    row = {key: value for key, value in ROWS["mathvista"].items() if key not in ("decoded_image", "query")}
    (tmp_path / "testmini.json").write_text(json.dumps({"7": row}))
    with ZipFile(tmp_path / "images.zip", "w") as archive:
        archive.writestr("images/7.jpg", picture(7, form="JPEG"))
    assert run("convert", "mathvista", "--from", tmp_path / "testmini.json", "--out", tmp_path / "out") == 0
    (written,) = rows_of(tmp_path / "out/mathvista_testmini.parquet")
    assert written["images"] == [{"bytes": picture(7, form="JPEG")}]
    assert written["extra_info"]["id"] == "7" and "one decimal place" in text_of(written)


def test_files_of_a_split_in_a_folder(tmp_path) -> None:
    names = (
        "data/test-00001-of-00002.parquet",
        "data/test-00000-of-00002.parquet",
        "data/testmini-00000-of-00001.parquet",
        "other/validation/0000.parquet",
        "test_more.parquet",
    )
    for name in names:
        write_parquet(tmp_path / name, [geometry3k(1)], GEOMETRY3K)

    def chosen(split: str) -> list[str]:
        return [str(path.relative_to(tmp_path)) for path in files_of_split(tmp_path, split, ())]

    assert chosen("test") == ["data/test-00000-of-00002.parquet", "data/test-00001-of-00002.parquet"]
    assert chosen("testmini") == ["data/testmini-00000-of-00001.parquet"]
    assert chosen("validation") == ["other/validation/0000.parquet"]
    with pytest.raises(FileNotFoundError, match="no parquet file of split 'train'"):
        chosen("train")


def test_the_only_parquet_file_needs_no_name(tmp_path) -> None:
    write_parquet(tmp_path / "mmstar.parquet", [ROWS["mmstar"]])
    assert len(list(open_input(str(tmp_path), SOURCES["mmstar"], "val", ("val",), None).rows(0))) == 1


def test_configs_are_subfolders(tmp_path, capsys) -> None:
    for subject, number in (("Math", 1), ("Art", 2)):
        row = row_of("mmmu", id=f"validation_{subject}_{number}")
        write_parquet(tmp_path / f"mmmu/{subject}/validation-00000-of-00001.parquet", [row])
    assert run("convert", "mmmu", "--from", tmp_path / "mmmu", "--out", tmp_path / "out") == 1
    assert (
        "mmmu: no folder 'Accounting' (28 missing); name those that are there with --config" in capsys.readouterr().err
    )
    two = ("--config", "Art", "--config", "Math")
    assert run("convert", "mmmu", "--from", tmp_path / "mmmu", "--out", tmp_path / "out", *two) == 0
    rows = rows_of(tmp_path / "out/mmmu_validation.parquet")
    assert [row["extra_info"]["subject"] for row in rows] == ["Art", "Math"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.parquet", b"none", "a.parquet: no readable parquet file"),
        ("a.json", b"{", "a.json: no readable JSON"),
        ("a.json", b"3", "a.json: a list of rows, or an object of rows, not int"),
        ("a.json", b'{"x": 3}', "a.json, row x: an object, not int"),
        ("a.jsonl", b'{"images": []}\n{', "a.jsonl, line 2: "),
        ("a.jsonl", b"[" * 100_000, "a.jsonl, line 1: JSON nested in more than 100 levels"),
        ("a.json", b"[" * 100_000, "a.json: no readable JSON: JSON nested in more than 100 levels"),
        ("a.jsonl", b"[1]", "a.jsonl, line 1: a line is a JSON object, this line holds a list"),
        ("a.jsonl", b"\xff", "a.jsonl, line 1: 'utf-8'"),
        ("a.tsv", b"", "a.tsv: a source is a .parquet, .json or .jsonl file"),
    ],
)
def test_files_that_cannot_be_read(tmp_path, name, content, message) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError) as caught:
        list(open_input(str(tmp_path / name), GEO, "train", (), None).rows(0))
    assert message in str(caught.value)


def test_nothing_there(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match="nothing here/at all: no such file or folder"):
        open_input("nothing here/at all", GEO, "train", (), None)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="there is no parquet file"):
        open_input(str(tmp_path / "empty"), GEO, "train", (), None)


class FakeHub:
    """The hub's answers for a commit; what was asked for is kept."""

    def __init__(self, monkeypatch, rows=()) -> None:
        self.asked = []
        self.commit = COMMIT
        features = Features({"images": List(Image()), "problem": Value("string"), "answer": Value("string")})
        self._data = Dataset.from_list(list(rows), features=features) if rows else None
        monkeypatch.setattr("huggingface_hub.HfApi", lambda: self)
        monkeypatch.setattr("datasets.load_dataset", self.load_dataset)

    def dataset_info(self, name, revision):
        if name == "nobody/nothing":
            raise httpx.ConnectError("Connection refused\nand more")
        return SimpleNamespace(sha=self.commit)

    def load_dataset(self, name, config, **arguments):
        self.asked.append((name, config, arguments))
        return self._data.to_iterable_dataset()


def test_the_hub_is_streamed_at_a_fixed_commit(tmp_path, monkeypatch, capsys) -> None:
    hub = FakeHub(monkeypatch, [geometry3k(number) for number in range(3)])
    assert run("convert", "geometry3k", "--out", tmp_path, "--limit", 2) == 0
    assert hub.asked == [("hiyouga/geometry3k", None, {"split": "train", "revision": COMMIT, "streaming": True})]
    rows = rows_of(tmp_path / "geometry3k_train.parquet")
    assert [row["images"] for row in rows] == [[{"bytes": picture(0)}], [{"bytes": picture(1)}]]  # as encoded there
    settings = json.loads((tmp_path / "geometry3k_train.summary.json").read_text())["settings"]
    assert settings["commit"] == COMMIT and settings["where"] == "hiyouga/geometry3k"
    hub.asked.clear()
    hub.commit = "another"  # the hub has moved on: what is there is of the recorded commit, and whole
    assert run("convert", "geometry3k", "--out", tmp_path, "--limit", 2) == 0 and not hub.asked
    assert run("convert", "geometry3k", "--out", tmp_path, "--limit", 2, "--revision", "v2") == 1
    assert "revision None there, 'v2' now" in capsys.readouterr().err


def test_the_hubs_configs_come_one_after_the_other(monkeypatch) -> None:
    hub = FakeHub(monkeypatch, [geometry3k(number) for number in range(2)])
    rows = list(hub_rows("MMMU/MMMU", ("Art", "Math"), "dev", COMMIT))[1:]
    assert [raw.where for raw in rows] == ["MMMU/MMMU Art, row 1", "MMMU/MMMU Math, row 0", "MMMU/MMMU Math, row 1"]
    assert [config for _, config, _ in hub.asked] == ["Art", "Math"]


def test_datasets_streams_a_folder_as_it_does_the_hub(tmp_path) -> None:
    """The real reader behind the hub's name, on a local repository."""
    write_parquet(tmp_path / "data/train-00000-of-00001.parquet", [geometry3k(4)], GEOMETRY3K)
    (raw,) = list(hub_rows(str(tmp_path), (), "train", None))
    assert GEO.sample(raw.row, FILES).images == (picture(4),)


def test_a_hub_that_does_not_answer(tmp_path, monkeypatch, capsys) -> None:
    FakeHub(monkeypatch)
    assert run("convert", "geometry3k", "--from", "nobody/nothing", "--out", tmp_path) == 1
    err = capsys.readouterr().err
    assert err == (
        "error: nobody/nothing: no such file or folder here, and the hub does not give it: Connection refused\n"
    )


def test_mmpr_tiny_is_downloaded_and_its_archive_stays_packed(tmp_path, monkeypatch) -> None:
    cache = tmp_path / "cache"
    write_parquet(cache / "mmpr_tiny.parquet", [ROWS["mmpr_tiny"]])
    with ZipFile(cache / "images.zip", "w") as archive:
        archive.writestr("images/set/3.png", picture(3))
    FakeHub(monkeypatch)
    asked = []

    def download(name, file, **arguments):
        asked.append((name, file, arguments))
        return str(cache / file)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    assert run("convert", "mmpr_tiny", "--out", tmp_path / "out") == 0
    assert asked == [
        ("OpenGVLab/MMPR-Tiny", file, {"repo_type": "dataset", "revision": COMMIT})
        for file in ("mmpr_tiny.parquet", "images.zip")
    ]
    (row,) = rows_of(tmp_path / "out/mmpr_tiny_train.parquet")
    assert row["images"] == [{"bytes": picture(3)}] and sorted(path.name for path in cache.iterdir()) == [
        "images.zip",
        "mmpr_tiny.parquet",
    ]


def test_rows_are_decoded_a_few_at_a_time(tmp_path, monkeypatch) -> None:
    """A row group may be the whole file; its rows must not all be in memory at once."""
    taken = []
    whole = pq.ParquetFile.iter_batches
    watched = lambda self, size, **more: taken.append(size) or whole(self, size, **more)  # noqa: E731
    monkeypatch.setattr(pq.ParquetFile, "iter_batches", watched)
    file = write_parquet(tmp_path / "a.parquet", [{"number": number} for number in range(100)], group=100)
    assert indices(file_rows([file], tmp_path, 97)) == [97, 98, 99]
    assert taken == [streams.ROWS_AT_ONCE]
