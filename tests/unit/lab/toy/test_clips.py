# SPDX-License-Identifier: Apache-2.0
"""The toy world on clips."""

import io
from base64 import b64decode
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from verl_df.lab.toy.build import STAGES, WORLD, build_stage
from verl_df.lab.toy.clips import FRAMES_EACH, HALVES, clip_rows, halves
from verl_df.lab.toy.settings import ClipSettings, PictureSettings, ToySettings
from verl_df.lab.toy.truth import right_response
from verl_df.lab.toy.world import EMPTY, GRID, grid_to_lists, sample_grid
from verl_df.settings.checks import check_data_file

SETTINGS = replace(ToySettings(), rl_train_rows=4, rl_val_rows=2)


def pixels(uri: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(b64decode(uri.partition(",")[2]))))


def test_every_figure_is_seen_in_one_half_at_least_and_brief_ones_in_one() -> None:
    whole, brief, seen = 0, 0, [0, 0]
    for seed in range(40):
        rng = np.random.default_rng(seed)
        grid = sample_grid(rng, PictureSettings())
        first, second = map(grid_to_lists, halves(rng, grid, ClipSettings(brief=0.4)))
        for row in range(GRID):
            for column in range(GRID):
                cell = grid_to_lists(grid)[row][column]
                shown = [half[row][column] for half in (first, second)]
                assert {cell} <= set(shown) <= {cell, EMPTY}
                if cell != EMPTY:
                    whole += 1
                    brief += EMPTY in shown
                    seen = [count + (one != EMPTY) for count, one in zip(seen, shown, strict=True)]
    assert 0.3 < brief / whole < 0.5 and abs(seen[0] - seen[1]) < 0.15 * whole


def test_rows_are_verls_and_follow_the_seed() -> None:
    rows = list(clip_rows("train", 3, SETTINGS))
    assert rows == list(clip_rows("train", 3, SETTINGS))
    assert rows != list(clip_rows("val", 3, SETTINGS))
    for row in rows:
        (video,) = row["videos"]
        assert row["prompt"][0]["content"].count("<video>") == 1 and "images" not in row
        assert len(video["video"]) == HALVES * FRAMES_EACH and video["sample_fps"] in SETTINGS.clip.rates
        first, again, second, _ = map(pixels, video["video"])
        assert (first == again).all() and (first != second).any() and first.shape == (168, 168, 3)
        answer = row["reward_model"]["ground_truth"]
        assert right_response("down", row["extra_info"]).endswith(f"\\boxed{{{answer}}}")


def test_the_stage_writes_what_the_launch_check_takes(tmp_path: Path) -> None:
    assert "clips" in STAGES and "clips" not in WORLD
    assert "4 RL rows" in build_stage("clips", tmp_path, SETTINGS)
    assert build_stage("clips", tmp_path, SETTINGS) == "up to date"
    for name, count in (("train", 4), ("val", 2)):
        file = tmp_path / f"clips/{name}.parquet"
        assert len(pd.read_parquet(file)) == count
        assert check_data_file("data", str(file), "images", "prompt", -1) == 1
