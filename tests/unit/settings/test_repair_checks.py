# SPDX-License-Identifier: Apache-2.0
"""What is refused before Ray starts a training of the repair model."""

import re
from pathlib import Path

import pandas as pd
import pytest

from tests.unit.adapters.support import composed
from tests.unit.settings.test_checks import model_folder
from verl_df.lab.toy.data import examples, rl_row
from verl_df.lab.toy.settings import ToySettings
from verl_df.settings.config import ConfigError
from verl_df.settings.repair_checks import check_repair_training
from verl_df.settings.repair_config import RepairTrainingConfig

TASK = {"response": "y", "response_ids": [1, 2], "reference": "a", "reference_kind": "sibling"}


@pytest.fixture
def run(tmp_path: Path):
    """A config that passes, with its data file, to be broken by the tests."""
    example = next(iter(examples("repair_rl", 1, ToySettings())))
    pd.DataFrame([rl_row(example) | {"repair_task": TASK}]).to_parquet(tmp_path / "tasks.parquet")
    model_folder(tmp_path / "model")
    file = tmp_path / "tasks.parquet"
    paths = [f"data.train_files={file}", f"data.val_files={file}", f"actor_rollout_ref.model.path={tmp_path}/model"]
    return lambda *overrides: composed(*paths, *overrides, name="repair_trainer")


def test_a_right_run_passes(run) -> None:
    assert check_repair_training(run()) == RepairTrainingConfig()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("trainer.v1.trainer_mode=sync", "needs df_repair_sync"),
        ("reward.reward_manager.name=naive", "needs df_repair"),
        ("actor_rollout_ref.rollout.agent.default_agent_loop=single_turn_agent", "needs df_repair"),
        ("trainer.use_v1=False", "needs verl's V1 trainer"),
        ("reward.reward_model.enable=True", "df.reward_manager=df_judge"),
        ("actor_rollout_ref.rollout.full_determinism=True", "df.image_removal.kind=off"),
        ("df.prompt_template=nowhere.txt", "df.prompt_template=nowhere.txt: no such file"),
        ("actor_rollout_ref.model.path=./nowhere", "no such folder"),
    ],
)
def test_contradictions_are_refused(run, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        check_repair_training(run(override))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["df.reward_manager=df_judge"], "df.judge: base_url=''"),
        (
            ["df.auditor.enabled=True", "df.auditor.endpoint.base_url=http://127.0.0.1:9/v1"],
            "df.auditor: model is empty",
        ),
        (
            [
                "df.auditor.enabled=True",
                "df.auditor.endpoint.base_url=http://127.0.0.1:9/v1",
                "df.auditor.endpoint.model=m",
            ],
            "df.auditor: unreachable",
        ),
        (["df.reward_manager=df_judge", "df.judge.prompt_template=nowhere.txt"], "df.judge: "),
    ],
)
def test_an_endpoint_that_cannot_be_asked_is_found_early(run, overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        check_repair_training(run(*overrides))


def test_determinism_is_allowed_without_the_counterfactual(run) -> None:
    check_repair_training(run("actor_rollout_ref.rollout.full_determinism=True", "df.image_removal.kind=off"))


@pytest.mark.parametrize(
    ("task", "message"),
    [(None, "it lacks response, response_ids, reference"), ({"response": "y"}, "lacks response_ids")],
)
def test_data_without_tasks_is_refused(run, tmp_path: Path, task: dict | None, message: str) -> None:
    table = pd.read_parquet(tmp_path / "tasks.parquet").drop(columns="repair_task")
    if task is not None:
        table["repair_task"] = [task]
    table.to_parquet(tmp_path / "other.parquet")
    with pytest.raises(ConfigError, match=message) as refused:
        check_repair_training(run(f"data.val_files={tmp_path}/other.parquet"))
    assert "data.val_files" in str(refused.value)
