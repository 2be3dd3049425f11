# SPDX-License-Identifier: Apache-2.0
"""A small toy world, built by all the stages of examples/toy/build_world.sh: what the kept world was made with."""

import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
from safetensors.torch import load_file

from verl_df.lab.toy.build import STAGES, build_stage
from verl_df.lab.toy.kept import KEPT
from verl_df.lab.toy.settings import RepairSetSettings, RepairTaskSettings, SftSettings, ToySettings

SMALL = replace(
    ToySettings(),
    rl_train_rows=32,
    rl_val_rows=16,
    repair_set=RepairSetSettings(prompts=24, per_prompt=4, held_out_prompts=8),
    repair_tasks=RepairTaskSettings(prompts=12, held_out_prompts=8, per_prompt=4),
    policy=SftSettings(rows=64, steps=3, batch=16, lr=1e-4, warmup=1, save_every=2),
    repair=SftSettings(rows=24, steps=6, batch=8, lr=1e-3, warmup=1, save_every=4),
    stage1=SftSettings(rows=8, steps=2, batch=4, lr=1e-3, warmup=1, save_every=3),
)


def test_every_stage_builds_on_those_before_it(tmp_path: Path) -> None:
    for name in STAGES:
        assert build_stage(name, tmp_path, SMALL) != "up to date", name
        if name == "model":  # in the place of random weights, from which three steps lead nowhere
            shutil.copyfile(KEPT / "policy/model.safetensors", tmp_path / "init/model.safetensors")
    for name in STAGES:
        assert build_stage(name, tmp_path, SMALL) == "up to date", name
    weights = [load_file(tmp_path / part / "model.safetensors") for part in ("init", "policy", "repair", "stage1")]
    for before, after in zip(weights, weights[1:], strict=False):
        assert before.keys() == after.keys() and any(not before[name].equal(after[name]) for name in before)
    assert len(pd.read_parquet(tmp_path / "repair_tasks/train.parquet")) > 0
    assert (tmp_path / "evaluation.json").is_file()
