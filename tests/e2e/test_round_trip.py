# SPDX-License-Identifier: Apache-2.0
"""The round trip of a checkpoint: a toy policy trained for three steps by the real trainer, merged, checked against its
shards, and evaluated in vLLM: the trainer's own validation accuracy, in one command.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.e2e.conftest import ROOT, STEPS, Run
from verl_df.platform.environment import cpu_environment

SCRIPT = ROOT / "examples/toy/evaluate_checkpoint.sh"
ROUND_TRIP_SECONDS = 900


@pytest.fixture(scope="module")
def run(recorded: tuple[Run, Path]) -> Run:
    """The main job, which validated on all problems after its last step, where it saved."""
    return recorded[0]


def round_trip(world: Path, run: Run, out: Path, **variables: str) -> subprocess.CompletedProcess:
    paths = {"WORLD": str(world), "RUN": str(run.folder), "OUT": str(out), "GENERATIONS": str(run.folder / "val")}
    environment = {**os.environ, **cpu_environment(), **paths, **variables}
    return subprocess.run(
        ["bash", str(SCRIPT)],
        env=environment,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=ROUND_TRIP_SECONDS,
    )


def test_the_merged_model_has_the_trainers_validation_accuracy(world: Path, run: Run) -> None:
    done = round_trip(world, run, run.folder / "merged")
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    assert "within the tolerance of 0.0001" in done.stdout
    accuracy = run.metrics[STEPS]["val-core/verl_df/toy/acc/mean@1"]
    assert 0 < accuracy < 1
    assert f"equal on 256 problems\nverl_df/toy: {accuracy:.6f} in vLLM" in done.stdout
    before, after = (load_file(folder / "model.safetensors") for folder in (world / "policy", run.folder / "merged"))
    assert before.keys() == after.keys() and all(after[name].dtype == torch.float32 for name in after)
    assert any(not torch.equal(before[name], after[name]) for name in before)


def test_another_model_is_refused(world: Path, run: Run, tmp_path: Path) -> None:
    """The model that the run started from: neither the log-probabilities nor, without the check, the number."""
    merged = Path(shutil.copytree(world / "policy", tmp_path / "merged"))
    done = round_trip(world, run, merged, ROWS="2")
    assert done.returncode == 1 and "is not the trained actor" in done.stderr
