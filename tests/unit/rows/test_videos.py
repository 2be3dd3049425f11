# SPDX-License-Identifier: Apache-2.0
"""Videos of rows."""

import io
import json
import re
from base64 import b64encode
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.unit.clips import write_video
from verl_df.rows.features import decodes_images, holds_images
from verl_df.rows.videos import video_problem
from verl_df.settings.checks import check_data_file
from verl_df.settings.config import ConfigError


def png() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (56, 56), "red").save(stream, "PNG")
    return stream.getvalue()


URI = "data:image/png;base64," + b64encode(png()).decode("ascii")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> str:
    frames = [np.zeros((56, 56, 3), dtype=np.uint8)] * 8
    return write_video(tmp_path_factory.mktemp("video") / "a.mp4", frames, rate=4)


def rows(path: Path, *videos: Any) -> str:
    made = [
        {
            "prompt": [{"role": "user", "content": "<video>" * len(one) + "?"}],
            "data_source": "s",
            "reward_model": {"ground_truth": "1"},
            "videos": one,
        }
        for one in videos
    ]
    pd.DataFrame(made).to_parquet(path)
    return str(path)


def test_lists_of_frames_and_files_are_taken(tmp_path: Path, file: str) -> None:
    assert (
        check_data_file("data", rows(tmp_path / "a.parquet", [[URI, URI]], [[URI], [URI]]), "images", "prompt", -1) == 2
    )
    assert check_data_file("data", rows(tmp_path / "b.parquet", [file]), "images", "prompt", -1) == 1
    structs = [{"video": file, "nframes": 4}], [{"video": file, "nframes": 2}]
    assert check_data_file("data", rows(tmp_path / "c.parquet", *structs), "images", "prompt", -1) == 1
    assert check_data_file("data", rows(tmp_path / "d.parquet", [file]), "images", "prompt", 0) == 0


def test_a_row_needs_an_image_or_a_video(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="row 1: no image"):
        check_data_file("data", rows(tmp_path / "a.parquet", [[URI]], []), "images", "prompt", -1)


@pytest.mark.parametrize(
    ("video", "problem"),
    [
        ([], "video 0 has no frames"),
        ([URI, "gone.png"], "video 0, frame 1 cannot be read: .*gone.png"),
        ([{"bytes": b"x", "path": None}], r"video 0, frame 0 is dict: verl reads paths and data URIs"),
        ("gone.mp4", "video 0 cannot be read: .*No such file"),
        ({"video": "FILE", "fps": None}, "video 0 has null under 'fps'"),
        ({"video": "FILE", "fps": 2, "nframes": 4}, "video 0 has both fps and nframes"),
        ({"video": "FILE", "nframes": 99}, "video 0 cannot be read: nframes should in interval"),
        ({"path": "a.mp4"}, "video 0 is NoneType: give a file's path, a list of frames"),
    ],
)
def test_what_verl_could_not_read_is_refused(video: Any, problem: str, file: str) -> None:
    if isinstance(video, dict):
        video = {name: file if value == "FILE" else value for name, value in video.items()}
    assert re.match(problem, str(video_problem([video], pictures=False)))


def test_web_addresses_are_left_to_verl() -> None:
    assert video_problem(["https://example.org/a.mp4", ["https://example.org/a.png"]], pictures=False) is None


def test_frames_that_datasets_decodes_are_pictures(tmp_path: Path) -> None:
    features = {"videos": {"feature": {"feature": {"_type": "Image"}, "_type": "List"}, "_type": "List"}}
    frame = {"bytes": png(), "path": None}
    table = pa.table({"videos": [[[frame, frame]]]})
    assert not holds_images(table.schema, "videos")
    table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, tmp_path / "a.parquet")
    assert holds_images(pq.read_schema(tmp_path / "a.parquet"), "videos")
    assert video_problem([[frame]], pictures=True) is None
    assert "cannot be read" in str(video_problem([[frame | {"bytes": b"x"}]], pictures=True))


@pytest.mark.parametrize("noted", ["{", "[]", '{"info": null}', '{"info": {"features": []}}', "[" * 5000])
def test_what_is_noted_of_a_file_and_cannot_be_read_is_nothing(noted: str) -> None:
    schema = pa.schema([("videos", pa.string())], metadata={"huggingface": noted})
    assert not holds_images(schema, "videos")
    assert not decodes_images(schema, "videos")
