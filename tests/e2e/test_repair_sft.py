# SPDX-License-Identifier: Apache-2.0
"""Supervised training by the recipe's entry point: verl's SFT trainer, with a ledger that outlives an interruption."""

import os
import subprocess
from dataclasses import replace
from pathlib import Path

from tests.e2e.conftest import ROOT
from verl_df.lab.toy.build import build_stage
from verl_df.lab.toy.settings import SftSettings, ToySettings
from verl_df.lab.toy.sft import sft_command
from verl_df.ledger.spent import read_rows
from verl_df.platform import warm
from verl_df.platform.environment import cpu_environment


def train(world: Path, settings: SftSettings) -> None:
    """Up to `settings.steps`, from the last checkpoint."""
    command = sft_command(world / "init", world / "sft/policy.parquet", world / "checkpoints", settings)
    assert "recipe.df.main_repair_sft" in command
    environment = {**cpu_environment(), "PYTHON_EXEC": warm.python(), **os.environ}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]


def test_every_step_is_in_the_ledger(tmp_path: Path) -> None:
    settings = SftSettings(rows=32, steps=2, batch=8, lr=1e-3, warmup=1, save_every=1)
    for name in ("model", "policy-data"):
        build_stage(name, tmp_path, replace(ToySettings(), policy=settings))
    train(tmp_path, settings)
    first = read_rows(tmp_path / "checkpoints")
    train(tmp_path, replace(settings, steps=3))
    rows = read_rows(tmp_path / "checkpoints")
    assert [row.step for row in rows] == [1, 2, 3] and rows[:2] == first
    assert all(row.devices == 1 and row.seconds.update > 0 for row in rows)
    assert (tmp_path / "checkpoints/global_step_3").is_dir()
