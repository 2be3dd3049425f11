# SPDX-License-Identifier: Apache-2.0
"""Two runs do not write into one folder."""

from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from recipe.df import main_df
from tests.unit.adapters.support import composed
from verl_df import plugin
from verl_df.io.lock import only_writer


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[DictConfig]:
    """Configs of the runs that were started; nothing is."""
    runs: list[DictConfig] = []
    monkeypatch.setattr(main_df, "run_ppo", lambda config, **_: runs.append(config))
    monkeypatch.setattr(main_df, "validate_config", lambda **_: None)
    monkeypatch.setattr(main_df, "auto_set_device", lambda _: None)
    monkeypatch.setattr(plugin, "require_loaded", lambda: None)
    return runs


def run_in(folder: Path, **more: str) -> DictConfig:
    config = composed()
    OmegaConf.update(config, "trainer.default_local_dir", str(folder))
    for key, value in more.items():
        OmegaConf.update(config, key.replace("_", "."), value)
    return config


def test_a_run_has_its_folders_to_itself(started: list[DictConfig], tmp_path: Path) -> None:
    config = run_in(tmp_path / "run", df_log_dir=str(tmp_path / "logs"))
    for folder in ("run", "logs"):
        with only_writer(tmp_path / folder), pytest.raises(SystemExit, match=rf"^error: {tmp_path}/{folder}: process "):
            main_df.launch(config, lambda _: None)
    assert not started and not list(tmp_path.iterdir())
    main_df.launch(config, lambda _: None)
    assert started == [config]


def test_the_folders_are_held_while_it_runs(
    started: list[DictConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def second(config: DictConfig, **_: object) -> None:
        with pytest.raises(SystemExit, match="writes there"):
            main_df.launch(config, lambda _: None)
        started.append(config)

    monkeypatch.setattr(main_df, "run_ppo", second)
    main_df.launch(run_in(tmp_path), lambda _: None)
    assert len(started) == 1


@pytest.mark.parametrize("folder", ["hdfs://host/run", "s3://bucket/run"])
def test_a_remote_folder_is_left_to_verl(folder: str) -> None:
    config = composed()
    OmegaConf.update(config, "trainer.default_local_dir", folder)
    assert main_df.result_folders(config) == []
