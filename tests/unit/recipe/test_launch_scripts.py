# SPDX-License-Identifier: Apache-2.0
"""Launch scripts for real models: what they pass is known to verl and to the `df:` block. The toy's are run end to end;
of the one that trains many repair models, which takes hours, the commands are looked at here.
"""

import os
import subprocess
from pathlib import Path

import pytest
from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

from tests.unit.adapters.support import composed
from tests.unit.launch_support import ROOT, arguments
from verl_df.settings.repair_config import load_repair_training_config

SFT, RL = "examples/repair_sft/run_qwen2_5_vl_7b_fsdp.sh", "examples/repair_rl/run_qwen2_5_vl_7b_fsdp.sh"


def overrides(given: list[str], module: str) -> list[str]:
    start = given.index(module)
    assert given[start - 1] == "-m"
    return given[start + 1 :]


def sft_config(given: list[str]) -> DictConfig:
    GlobalHydra.instance().clear()
    with initialize_config_module("verl.trainer.config", version_base=None):
        return compose("sft_trainer_engine", overrides=given)


def test_sft_of_the_repair_model(tmp_path: Path) -> None:
    given = arguments(SFT, tmp_path, "trainer.total_epochs=5", POLICY="some/policy", DATA="rows.parquet", NPROC="4")
    assert "--nproc-per-node=4" in given
    config = sft_config(overrides(given, "verl.trainer.sft_trainer"))
    assert config.model.path == "some/policy" and config.data.train_files == "rows.parquet"
    assert config.trainer.total_epochs == 5  # "$@" comes last and wins
    assert "hf_model" in config.checkpoint.save_contents


@pytest.mark.parametrize(
    ("algorithm", "loss", "mean"), [("gspo", "gspo", "seq-mean-token-mean"), ("dapo", "vanilla", "token-mean")]
)
def test_rl_of_the_repair_model(tmp_path: Path, algorithm: str, loss: str, mean: str) -> None:
    given = overrides(arguments(RL, tmp_path, ALGO=algorithm, AUDITOR_URL="http://a:1/v1"), "recipe.df.main_repair")
    config = composed(*given, name="repair_trainer")
    assert config.actor_rollout_ref.actor.policy_loss.loss_mode == loss
    assert config.actor_rollout_ref.actor.loss_agg_mode == mean
    df = load_repair_training_config(config.df)
    assert df.edit_penalty == 0.5 and df.auditor.enabled and df.auditor.endpoint.base_url == "http://a:1/v1"


def test_without_an_auditor_there_is_none(tmp_path: Path) -> None:
    given = overrides(arguments(RL, tmp_path, EDIT_PENALTY="0.2"), "recipe.df.main_repair")
    df = load_repair_training_config(composed(*given, name="repair_trainer").df)
    assert df.edit_penalty == 0.2 and not df.auditor.enabled


def test_another_algorithm_is_refused(tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        arguments(RL, tmp_path, ALGO="gpso")
    assert "write gspo, grpo or dapo" in refused.value.stderr


@pytest.fixture
def repair_models(tmp_path: Path):
    """The words of every Python command that the script starts; each RL run seems to leave a merged model."""
    recorder, calls = tmp_path / "python", tmp_path / "calls"
    recorder.write_text(
        f'#!/bin/sh\n(printf "%s\\t" "$@"; echo) >> {calls}\n'
        'while [ $# -gt 0 ]; do [ "$1" = --target_dir ] && mkdir -p "$2"; shift; done; true\n'
    )
    recorder.chmod(0o755)

    def run(variants: str) -> list[list[str]]:
        (tmp_path / "world/stage1").mkdir(parents=True, exist_ok=True)
        calls.unlink(missing_ok=True)
        fixed = {"PYTHON": str(recorder), "VERL_DF_WARM": "0", "WORLD": str(tmp_path / "world")}
        environment = {**os.environ, **fixed, "VARIANTS": variants}
        command = ["bash", str(ROOT / "examples/toy/repair_models.sh")]
        subprocess.run(command, env=environment, check=True, capture_output=True)
        return [line.strip().split("\t") for line in calls.read_text().splitlines()]

    return run


def test_repair_models_are_trained_evaluated_and_compared(repair_models) -> None:
    calls = repair_models("full full_2 no_c1 no_edit_penalty lambda_0.2 lambda_0.8_2")
    trained = [composed(*call[3:], name="repair_trainer") for call in calls if "recipe.df.main_repair" in call]
    assert [(run.df.edit_penalty, run.data.seed, run.df.image_removal.kind) for run in trained] == [
        (0.5, 1, "blank"),
        (0.5, 2, "blank"),
        (0.5, 1, "off"),
        (0.0, 1, "blank"),
        (0.2, 1, "blank"),
        (0.8, 2, "blank"),
    ]
    evaluation, compared, swept = (call for call in calls if "repair-eval" in call)
    models = [
        word.partition("=")[0] for before, word in zip(evaluation, evaluation[1:], strict=False) if before == "--repair"
    ]
    assert models == ["sft", "full", "full_2", "no_c1", "no_edit_penalty", "lambda_0.2", "lambda_0.8_2"]
    groups = [word for word in compared if "#" in word]
    assert groups[0].startswith("sft=")  # what the others are compared with
    assert any(word.startswith("full=") and word.count("#full") == 2 for word in groups) and len(groups) == 6
    points = {word.partition("=")[0] for word in swept if "#" in word}
    assert points == {"0.5", "0", "0.2", "0.8"}


def test_a_repair_model_that_is_there_is_kept(repair_models) -> None:
    repair_models("full")
    calls = repair_models("full no_c1")
    assert sum("recipe.df.main_repair" in call for call in calls) == 1
    assert not any("lambda" in call for call in calls)  # one point is no sweep
