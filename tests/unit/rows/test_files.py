# SPDX-License-Identifier: Apache-2.0
"""Files of rows: forms of cells, columns, damage; each fault is one line with file and row."""

import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.unit.lab.data.support import picture
from verl_df.lab.data.reading import file_rows
from verl_df.lab.rl_data import RLData
from verl_df.rows.check import RowRules
from verl_df.rows.files import RowFile
from verl_df.rows.special_tokens import QWEN
from verl_df.settings.checks import check_data_file
from verl_df.settings.config import ConfigError

CELL = {"bytes": picture(1), "path": None}


def row(**changes: Any) -> dict[str, Any]:
    plain = {
        "data_source": "test",
        "prompt": [{"role": "user", "content": "<image>How many?"}],
        "images": [CELL],
        "reward_model": {"style": "rule", "ground_truth": "3"},
        "extra_info": {"index": 0},
    }
    return {**plain, **changes}


def write(folder: Path, *rows: dict[str, Any]) -> Path:
    pq.write_table(pa.Table.from_pylist(list(rows)), folder / "rows.parquet")
    return folder / "rows.parquet"


def refused(path: Path) -> str:
    """What launch and evaluation say, which is the same."""
    with pytest.raises(ConfigError) as launch:
        check_data_file("data.train_files", str(path), "images", "prompt", -1)
    with pytest.raises(ValueError) as evaluation:
        RLData(path).check(range(9))
    assert str(launch.value) == f"data.train_files: {evaluation.value}"
    assert "\n" not in str(launch.value)
    return str(evaluation.value)


@pytest.mark.parametrize(
    ("images", "said"),
    [
        ([picture(1)], "image 0: it is of type bytes"),
        ([[CELL]], "image 0: it is of type list"),
        (picture(1), "images is of type bytes, not a list"),
        (CELL, "images is of type dict, not a list"),
        ("a.png", "images is of type str, not a list"),
        ([{"path": "a.png"}], "image 0: verl finds no picture in a struct of 'path'"),
        ([{"bytes": None, "path": "a.png"}], "image 0: its 'bytes' are null, and verl does not look at 'path'"),
        ([{"bytes": None, "path": None}], "image 0: it has neither bytes nor path"),
        ([{"bytes": picture(1), "min_pixels": None}], "image 0: it has the key 'min_pixels'"),
        ([None], "image 0: it is of type NoneType"),
        (["gone.png"], "image 0: gone.png: images are read below the data's folder only"),
        ([{"bytes": picture(size=(2, 402))}], "image 0: 2 x 402 pixels"),
        ([CELL, CELL], "1 <image> markers for 2 images"),
    ],
)
def test_cells_that_verl_cannot_read_are_named(images: Any, said: str, tmp_path: Path) -> None:
    path = write(tmp_path, row(images=images))
    assert refused(path).startswith(f"{path}, row 0: {said}")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"prompt": "How many?"}, "prompt must be a list of messages"),
        (
            {"prompt": [{"role": "user", "content": [{"type": "text"}]}]},
            "prompt must be a list of messages with a text",
        ),
        ({"prompt": [{"role": "you", "content": "<image>?"}]}, "a message's role is 'you', not one of system"),
        ({"prompt": [{"role": "user", "content": "<image>?<IMG_CONTEXT>"}]}, "prompt: <IMG_CONTEXT>"),
        ({"reward_model": "3"}, "reward_model is '3', not a struct"),
        ({"reward_model": {"ground_truth": float("nan")}}, "reward_model.ground_truth is missing"),
        ({"extra_info": "none"}, "extra_info is 'none', not a struct"),
        ({"data_source": 3}, "data_source is 3, not a text"),
        ({"audios": ["a.wav"]}, "the row has audios"),
    ],
)
def test_other_columns_of_a_row_are_named(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    assert f", row 0: {said}" in refused(write(tmp_path, row(**changes)))


def test_own_tokens_are_the_tokenizers_where_there_is_one(tmp_path: Path) -> None:
    path = write(tmp_path, row(prompt=[{"role": "user", "content": "<image><IMG_CONTEXT> or <|im_end|>?"}]))
    RowFile(path, RowRules(tmp_path, tokens=frozenset({"<|eot|>"}))).check([0])
    with pytest.raises(ValueError, match=r"row 0: prompt: <\|im_end\|>$"):
        RowFile(path, RowRules(tmp_path, tokens=frozenset(QWEN))).check([0])


def test_text_of_another_encoding_is_named_with_its_row(tmp_path: Path) -> None:
    path = write(tmp_path, row(), row(data_source="m\u00fcnchen"))
    path.write_bytes(path.read_bytes().replace("m\u00fcnchen".encode(), b"m\xfc\xfcnchen"))
    assert refused(path).startswith(f"{path}, row 1: a text is not UTF-8")
    with pytest.raises(ValueError, match="rows.parquet, row 1: a text is not UTF-8"):
        list(file_rows([path], tmp_path, 0))


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, *[row() for _ in range(20)])
    whole, said = path.read_bytes(), 0
    for number in range(200):
        rng, content = random.Random(number), bytearray(whole)
        for _ in range(rng.randint(1, 6)):
            content[rng.randrange(len(content))] = rng.randrange(256)
        path.write_bytes(content)
        for read in (lambda: RLData(path).check(range(20)), lambda: list(file_rows([path], tmp_path, 0))):
            try:
                read()
            except ValueError as error:
                assert str(error).startswith(str(path)), number
                said += 1
    assert said > 100


def test_a_row_without_image_passes_where_text_alone_may(tmp_path: Path) -> None:
    path = write(tmp_path, row(images=None, prompt=[{"role": "user", "content": "How many?"}]))
    RowFile(path, RowRules(tmp_path, text_only=True)).check([0])
    assert refused(path).endswith("row 0: no image")
