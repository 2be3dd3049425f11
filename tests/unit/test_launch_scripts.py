# SPDX-License-Identifier: Apache-2.0
"""Launch scripts for real models: what they pass is known to verl and to the `df:` block. The toy's scripts are run."""

import os
import subprocess
from pathlib import Path

import pytest
from adapters_support import composed
from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

from verl_df.repair_config import load_repair_training_config

ROOT = Path(__file__).parents[2]
SFT, RL = "examples/repair/run_qwen2_5_vl_7b_sft.sh", "examples/repair/run_qwen2_5_vl_7b_rl.sh"


@pytest.fixture
def arguments(tmp_path: Path):
    """Arguments that a script would start Python with, one string each."""
    shown = tmp_path / "show"
    shown.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
    shown.chmod(0o755)

    def run(script: str, *extra: str, **variables: str) -> list[str]:
        environment = {**os.environ, "PYTHON": str(shown), "TORCHRUN": str(shown), "OUT": str(tmp_path), **variables}
        command = ["bash", str(ROOT / script), *extra]
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.splitlines()

    return run


def overrides(arguments: list[str], module: str) -> list[str]:
    start = arguments.index(module)
    assert arguments[start - 1] == "-m"
    return arguments[start + 1 :]


def sft_config(given: list[str]) -> DictConfig:
    GlobalHydra.instance().clear()
    with initialize_config_module("verl.trainer.config", version_base=None):
        return compose("sft_trainer_engine", overrides=given)


def test_sft_of_the_repair_model(arguments) -> None:
    given = arguments(SFT, "trainer.total_epochs=5", POLICY="some/policy", DATA="rows.parquet", NPROC="4")
    assert "--nproc-per-node=4" in given
    config = sft_config(overrides(given, "verl.trainer.sft_trainer"))
    assert config.model.path == "some/policy" and config.data.train_files == "rows.parquet"
    assert config.trainer.total_epochs == 5  # "$@" comes last and wins
    assert "hf_model" in config.checkpoint.save_contents


@pytest.mark.parametrize(
    ("algorithm", "loss", "mean"), [("gspo", "gspo", "seq-mean-token-mean"), ("dapo", "vanilla", "token-mean")]
)
def test_rl_of_the_repair_model(arguments, algorithm: str, loss: str, mean: str) -> None:
    given = overrides(arguments(RL, ALGO=algorithm, AUDITOR_URL="http://a:1/v1"), "recipe.df.main_repair")
    config = composed(*given, name="repair_trainer")
    assert config.actor_rollout_ref.actor.policy_loss.loss_mode == loss
    assert config.actor_rollout_ref.actor.loss_agg_mode == mean
    df = load_repair_training_config(config.df)
    assert df.edit_penalty == 0.5 and df.auditor.enabled and df.auditor.endpoint.base_url == "http://a:1/v1"


def test_without_an_auditor_there_is_none(arguments) -> None:
    given = overrides(arguments(RL, EDIT_PENALTY="0.2"), "recipe.df.main_repair")
    df = load_repair_training_config(composed(*given, name="repair_trainer").df)
    assert df.edit_penalty == 0.2 and not df.auditor.enabled


def test_another_algorithm_is_refused(arguments) -> None:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        arguments(RL, ALGO="gpso")
    assert "write gspo, grpo or dapo" in refused.value.stderr
