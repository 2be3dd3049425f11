# SPDX-License-Identifier: Apache-2.0
"""Relative paths of a run, which another process would look up in another folder."""

from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from recipe.df import main_df
from tests.unit.adapters.support import composed
from verl_df.settings.paths import make_absolute

# Each key that verl or verl_df reads in a process of Ray, with what may be there.
THERE = (
    "actor_rollout_ref.model.path",
    "actor_rollout_ref.model.tokenizer_path",
    "actor_rollout_ref.model.hf_config_path",
    "actor_rollout_ref.model.lora_adapter_path",
    "actor_rollout_ref.rollout.agent.agent_loop_config_path",
    "actor_rollout_ref.rollout.multi_turn.tool_config_path",
    "critic.model.path",
    "critic.model.tokenizer_path",
    "data.custom_cls.path",
    "reward.custom_reward_function.path",
    "trainer.resume_from_path",
    "df.repair.model_path",
    "df.repair.prompt_template",
    "df.judge.prompt_template",
    "df.truth.path",
)
MADE = (
    "trainer.default_local_dir",
    "trainer.rollout_data_dir",
    "trainer.validation_data_dir",
    "skip.rollout_tq.dump_dir",
    "global_profiler.save_path",
    "df.repair.models_dir",
    "df.log.dir",
)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "some/file").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def changed(key: str, value: Any, name: str = "df_trainer") -> Any:
    config = composed(name=name)
    OmegaConf.update(config, key, value, force_add=True)
    make_absolute(config)
    return OmegaConf.select(config, key)


@pytest.mark.parametrize("key", THERE)
def test_what_is_there_is_named_by_its_whole_path(here: Path, key: str) -> None:
    assert changed(key, "some/file") == f"{here}/some/file"
    assert changed(key, "owner/name") == "owner/name"  # a name on the hub, or refused elsewhere


@pytest.mark.parametrize("key", MADE)
def test_folders_are_made_where_the_run_was_started(here: Path, key: str) -> None:
    assert changed(key, "some/new") == f"{here}/some/new"


def test_files_of_data_one_and_several(here: Path) -> None:
    assert changed("data.train_files", "some/file") == f"{here}/some/file"
    assert changed("data.val_files", ["some/file", "/there", "gone"]) == [f"{here}/some/file", "/there", "gone"]


@pytest.mark.parametrize("key", [*THERE, *MADE])
@pytest.mark.parametrize("value", ["/some/file", "pkg://a.b", "hdfs://some/file", "~/some", None, ""])
def test_what_means_the_same_everywhere_stays(here: Path, key: str, value: str | None) -> None:
    assert changed(key, value) == value


def test_paths_of_a_repair_models_training(here: Path) -> None:
    assert changed("df.log_dir", "some/new", "repair_trainer") == f"{here}/some/new"
    assert changed("df.prompt_template", "some/file", "repair_trainer") == f"{here}/some/file"


def test_a_reference_to_a_path_follows_it(here: Path) -> None:
    config = composed("actor_rollout_ref.model.path=some/file", "critic.model.path=${actor_rollout_ref.model.path}")
    make_absolute(config)
    assert config.critic.model.path == config.actor_rollout_ref.model.path == f"{here}/some/file"


def leaves(node: Any, name: str = "") -> dict[str, Any]:
    if not isinstance(node, dict):
        return {name: node}
    return {key: value for part, one in node.items() for key, value in leaves(one, f"{name}.{part}").items()}


def test_nothing_else_of_the_config_changes(here: Path) -> None:
    config = composed()
    before = leaves(OmegaConf.to_container(config))
    make_absolute(config)
    after = leaves(OmegaConf.to_container(config))
    assert after.keys() == before.keys()
    different = {key for key in after if after[key] != before[key]}
    assert different and all(key.endswith(("dir", "save_path")) for key in different)
    assert all(Path(after[key]).is_absolute() for key in different)


def test_a_run_hands_whole_paths_to_ray(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[DictConfig] = []
    monkeypatch.setattr(main_df, "run_ppo", lambda config, task_runner_class: given.append(config))
    monkeypatch.setattr(main_df, "validate_config", lambda **_: None)
    monkeypatch.setattr(main_df.plugin, "require_loaded", lambda: None)
    monkeypatch.setattr(main_df, "auto_set_device", lambda config: None)
    main_df.launch(composed("data.train_files=some/file", "df.log.dir=logs"), lambda config: None)
    (config,) = given
    assert (config.data.train_files, config.df.log.dir) == (f"{here}/some/file", f"{here}/logs")
