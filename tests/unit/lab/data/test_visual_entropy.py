# SPDX-License-Identifier: Apache-2.0
"""`verl-df data visual-entropy` with the toy's policy."""

import io
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests import ROOT
from verl_df.cli import main

POLICY = ROOT / "examples/toy/world/policy"


def png(pixels: np.ndarray) -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(content, "PNG")
    return content.getvalue()


def rows(path: Path, pictures: list[list[bytes]]) -> Path:
    table = [
        {
            "data_source": "mine",
            "prompt": [{"role": "user", "content": "<image>" * len(images) + "How many?"}],
            "images": [{"bytes": image} for image in images],
            "reward_model": {"style": "rule", "ground_truth": "2"},
            "extra_info": {"index": number},
        }
        for number, images in enumerate(pictures)
    ]
    pd.DataFrame(table).to_parquet(path)
    return path


def test_busy_pictures_are_more_complex_than_plain_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain = png(np.full((56, 56, 3), 90))
    busy = png(np.random.default_rng(0).integers(0, 255, (56, 56, 3)))
    source = rows(tmp_path / "in.parquet", [[plain], [busy], [plain], [plain, busy]])
    command = ["data", "visual-entropy", str(source), "--model", str(POLICY), "--out", str(tmp_path / "out.parquet")]
    assert main(command) == 0
    assert "out.parquet: 4 rows, extra_info.visual_entropy from" in capsys.readouterr().out
    written = pd.read_parquet(tmp_path / "out.parquet")
    found = [info["visual_entropy"] for info in written["extra_info"]]
    assert 0 <= found[0] == found[2] < found[1] <= math.log(16) < math.log(32)
    assert found[3] not in found[:3]
    assert [info["index"] for info in written["extra_info"]] == [0, 1, 2, 3]
    before = pd.read_parquet(source)
    assert [images[0]["bytes"] for images in written["images"]] == [images[0]["bytes"] for images in before["images"]]
    assert main(command) == 1
    assert "is there already: give another --out" in capsys.readouterr().err
