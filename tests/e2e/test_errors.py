# SPDX-License-Identifier: Apache-2.0
"""Wrong input, through the example's own script: one clear message, before Ray starts."""

import os
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from tests.e2e.conftest import SCRIPT

SECONDS = 300


def fails(world: Path, folder: Path, *overrides: str) -> str:
    """The one line that says what is wrong; what follows says where the log is and how to go on."""
    environment = {**os.environ, "WORLD": str(world), "OUT": str(folder)}
    result = subprocess.run(
        ["bash", str(SCRIPT), *overrides], env=environment, capture_output=True, text=True, timeout=SECONDS
    )
    assert result.returncode == 1
    assert "Traceback" not in result.stderr and "ray init kwargs" not in result.stdout
    (line,) = (line for line in result.stderr.splitlines() if line.startswith("error: "))
    assert f"log         {folder}/run.log" in result.stderr and f"bash {SCRIPT}" in result.stderr
    return line


def test_model_path_missing(world: Path, tmp_path: Path) -> None:
    message = fails(world, tmp_path, "actor_rollout_ref.model.path=/nowhere/policy")
    assert "actor_rollout_ref.model.path=/nowhere/policy" in message and "no such folder" in message


def test_unknown_key(world: Path, tmp_path: Path) -> None:
    message = fails(world, tmp_path, "df.repair.temprature=1.0")
    assert "df.repair.temprature" in message and "did you mean 'temperature'?" in message


@pytest.mark.parametrize("broken", ["column", "image"])
def test_bad_parquet(world: Path, tmp_path: Path, broken: str) -> None:
    rows = pd.read_parquet(world / "data/train.parquet").head(5)
    if broken == "column":
        rows = rows.drop(columns="images")
    else:
        rows.at[3, "images"] = [{"bytes": rows.at[3, "images"][0]["bytes"][:200], "path": None}]
    rows.to_parquet(tmp_path / "train.parquet")
    message = fails(world, tmp_path, f"data.train_files={tmp_path / 'train.parquet'}")
    assert "train.parquet" in message
    assert ("no column 'images'" if broken == "column" else "row 3: image 0: image file is truncated") in message
