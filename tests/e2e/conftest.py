# SPDX-License-Identifier: Apache-2.0
"""Runs of the real thing: stock verl, Ray, FSDP, vLLM and a tiny VLM on the CPU, started by the example's own
script.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests import ROOT
from verl_df.lab.toy.build import build_stage
from verl_df.lab.toy.kept import place
from verl_df.lab.toy.settings import ToySettings
from verl_df.platform import warm

SCRIPT = ROOT / "examples/toy/run_toy_qwen2_5_vl.sh"
MERGE_SECONDS = 300


@dataclass(frozen=True)
class Run:
    """What a finished run left. metrics: by step, verl's own `file` logger. pairs: records of `pairs.jsonl`, as
    dicts.
    """

    folder: Path
    log: str
    metrics: dict[int, dict[str, float]]
    pairs: list[dict[str, Any]]

    def series(self, name: str) -> list[float]:
        """Values of a metric over the training steps, in order; a step without it is left out."""
        return [values[name] for step, values in sorted(self.metrics.items()) if step > 0 and name in values]


def start_run(world: Path, folder: Path, *overrides: str, **variables: str) -> Run:
    """Run the example script to its end and read what it left.

    Raises:
        AssertionError: it failed or hung; the end of its log is in the message.
    """
    folder.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "WORLD": str(world), "OUT": str(folder), **variables}
    with (folder / "output.log").open("w") as log:
        # no limit: the script's own ends a run without output
        status = subprocess.run(["bash", str(SCRIPT), *overrides], env=environment, stdout=log, stderr=log).returncode
    text = (folder / "output.log").read_text(errors="replace")
    assert status == 0, f"exit status {status}\n{text[-6000:]}"
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    pairs = folder / "pairs.jsonl"
    return Run(
        folder=folder,
        log=text,
        metrics={entry["step"]: entry["data"] for entry in map(json.loads, lines)},
        pairs=[json.loads(line) for line in pairs.read_text().splitlines()] if pairs.exists() else [],
    )


STEPS = 3
# Of the recorded run, and of every run that replays it: verl finds recorded rollouts by these.
SIZES = {"STEPS": str(STEPS), "PROMPTS": "8", "ROLLOUTS": "8", "LR": "1e-3"}


def rollout_record(folder: Path) -> list[str]:
    """Overrides with which verl keeps what it sampled in `folder`, or reads it from there if it is there already."""
    return [
        "skip.rollout_tq.enable=True",
        f"skip.rollout_tq.dump_dir={folder}",
        f"skip.rollout_tq.steps={list(range(1, STEPS + 1))}".replace(" ", ""),
        "trainer.experiment_name=recorded",
    ]


@pytest.fixture(scope="session")
def recorded(world: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path]:
    """The main job: three steps of DF-GRPO, saved after each, and the folder that holds what its policy sampled."""
    rollouts, folder = tmp_path_factory.mktemp("rollouts"), tmp_path_factory.mktemp("df_grpo")
    settings = [
        "df.log.pairs_per_step=-1",
        "trainer.save_freq=1",
        "trainer.max_actor_ckpt_to_keep=3",
        f"trainer.validation_data_dir={folder}/val",
        *rollout_record(rollouts),
    ]
    return start_run(world, folder, *settings, **SIZES), rollouts


def merge(checkpoint: Path, target: Path) -> None:
    """Make a Hugging Face folder of an actor's or a critic's checkpoint, by verl's own tool."""
    command = ["merge", "--backend", "fsdp", "--local_dir", str(checkpoint), "--target_dir", str(target)]
    subprocess.run([warm.python(), "-m", "verl.model_merger", *command], check=True, timeout=MERGE_SECONDS)


@pytest.fixture(scope="session", autouse=True)
def warm_interpreter() -> None:
    """Programs that tests start by `warm.python()` start warm, as those of the scripts do."""
    os.environ["VERL_DF_PYTHON"] = sys.executable


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The quickstart's toy world: the kept policy and repair model, and its data."""
    folder = tmp_path_factory.mktemp("world")
    place(folder)
    build_stage("data", folder, ToySettings())
    return folder
