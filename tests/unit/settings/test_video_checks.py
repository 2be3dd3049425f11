# SPDX-License-Identifier: Apache-2.0
"""Data with videos, and the models and engines that take them."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf

from tests.unit.clips import write_video
from verl_df.settings.checks import check_data_files
from verl_df.settings.config import ConfigError
from verl_df.settings.videos import check_videos_allowed


def config(**limits: int) -> Any:
    engine = {"vllm": {"limit_mm_per_prompt": limits} if limits else {}}
    rollout = {"engine_kwargs": engine}
    return OmegaConf.create({"actor_rollout_ref": {"model": {"path": "m"}, "rollout": rollout}})


def test_models_that_cannot_take_videos_are_refused() -> None:
    with pytest.raises(ConfigError, match="supported for qwen2_5_vl and not for qwen3_vl"):
        check_videos_allowed(config(), "qwen3_vl", 1)
    for kind, most in (("qwen3_vl", 0), ("qwen2_5_vl", 1), (None, 1)):
        check_videos_allowed(config(), kind, most)


def rows(path: Path, videos: list[str]) -> str:
    prompt = [{"role": "user", "content": "<video>" * len(videos) + "?"}]
    columns = {"prompt": prompt, "data_source": "s", "reward_model": {"ground_truth": "1"}, "videos": videos}
    pd.DataFrame([columns]).to_parquet(path)
    return str(path)


def test_the_launch_check_asks_model_and_engine_about_the_videos_of_the_data(tmp_path: Path) -> None:
    file = write_video(tmp_path / "a.mp4", [np.zeros((56, 56, 3), dtype=np.uint8)] * 8, rate=4)
    (tmp_path / "config.json").write_text('{"model_type": "qwen2_5_vl"}')
    data = {
        "train_files": rows(tmp_path / "a.parquet", [file]),
        "val_files": rows(tmp_path / "b.parquet", [file, file]),
    }
    keys = {"prompt_key": "prompt", "image_key": "images", "video_key": "videos"}
    run = OmegaConf.merge(
        config(video=1),
        {"data": data | keys, "actor_rollout_ref": {"model": {"path": str(tmp_path), "tokenizer_path": "hub/name"}}},
    )
    with pytest.raises(ConfigError, match="video=1: rows of the data have up to 2 videos"):
        check_data_files(run, -1)
    (tmp_path / "config.json").write_text('{"model_type": "internvl"}')
    with pytest.raises(ConfigError, match="not for internvl: write the frames as images"):
        check_data_files(run, -1)


def test_an_engine_that_takes_too_few_is_refused() -> None:
    key = "actor_rollout_ref.rollout.engine_kwargs.vllm.limit_mm_per_prompt.video=1"
    with pytest.raises(ConfigError, match=f"{key}: rows of the data have up to 2 videos; set it to 2"):
        check_videos_allowed(config(video=1), "qwen2_5_vl", 2)
    for limits in ({}, {"image": 8}, {"video": 2}):
        check_videos_allowed(config(**limits), "qwen2_5_vl", 2)
    check_videos_allowed(config(video=0), "qwen2_5_vl", 0)
