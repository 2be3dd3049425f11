# SPDX-License-Identifier: Apache-2.0
"""Loading: what `require_loaded` refuses, and that verl finds the names by the entry point alone."""

import subprocess
import sys

import pytest
from verl.trainer.ppo.v1 import PPOTrainerSync, get_trainer_cls

from verl_df import plugin
from verl_df.adapters.policy_training.trainer import DFTrainer
from verl_df.plugin import PluginError, require_loaded

FRESH_PROCESS = """
import sys
import verl
assert "verl_df.plugin" in sys.modules, "verl did not load the plugin"
assert "verl.trainer.ppo.v1" not in sys.modules, "the plugin imports verl's trainer too early"
assert "transformers.modeling_utils" not in sys.modules, "the plugin imports transformers' models too early"
from verl.utils.model import load_valuehead_model
print(load_valuehead_model.__code__.co_filename)
assert "transformers.models.qwen2_5_vl.modeling_qwen2_5_vl" not in sys.modules, "the critics are built too early"
from verl.experimental.reward_loop.reward_manager import get_reward_manager_cls
print(get_reward_manager_cls("df"))
from verl.trainer.ppo.v1 import get_trainer_cls
from verl.trainer.ppo.core_algos import get_adv_estimator_fn, get_policy_loss_fn
for found in (get_trainer_cls("df_sync"), get_adv_estimator_fn("df_grpo"), get_policy_loss_fn("df_vanilla")):
    print(found)
"""


def test_verl_finds_the_names_in_a_process_that_never_names_us() -> None:
    command = [sys.executable, "-c", FRESH_PROCESS]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert finished.returncode == 0, finished.stderr[-2000:]
    for name in (
        "DFRewardManager",
        "DFTrainer",
        "GatedEstimator(base='grpo')",
        "WatchedLoss(base='vanilla')",
        "adapters/value_model.py",
    ):
        assert name in finished.stdout


def test_the_model_merger_knows_critics_of_vision_language_models() -> None:
    program = """
import verl.model_merger.base_model_merger
from transformers import AutoModelForTokenClassification, Qwen2_5_VLConfig
print(AutoModelForTokenClassification._model_mapping[Qwen2_5_VLConfig])
"""
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=240)
    assert finished.returncode == 0, finished.stderr[-2000:]
    assert "Qwen2_5_VLForTokenClassification" in finished.stdout


def test_the_trainer_is_verls_synchronous_one() -> None:
    assert get_trainer_cls("df_sync") is DFTrainer
    assert issubclass(DFTrainer, PPOTrainerSync)


@pytest.mark.parametrize("policy", [None, "auto", " Auto ", "verl_df", "other, verl_df"])
def test_an_active_plugin_passes(policy: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VERL_USE_EXTERNAL_PLUGINS", raising=False)
    if policy is not None:
        monkeypatch.setenv("VERL_USE_EXTERNAL_PLUGINS", policy)
    require_loaded()


def test_a_missing_entry_point_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin, "entry_points", lambda group: [])
    with pytest.raises(PluginError, match="entry point 'verl_df' in the group 'verl.plugins' is not installed"):
        require_loaded()


@pytest.mark.parametrize("policy", ["", "none", "other", "other,verl_dff"])
def test_a_plugin_that_is_switched_off_is_named(policy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VERL_USE_EXTERNAL_PLUGINS", policy)
    with pytest.raises(PluginError, match="VERL_USE_EXTERNAL_PLUGINS=.* keeps verl from loading 'verl_df'"):
        require_loaded()


def test_what_verl_would_swallow_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> None:
        raise ImportError(f"cannot import {name}")

    monkeypatch.setattr(plugin.importlib, "import_module", broken)
    with pytest.raises(ImportError, match="cannot import verl_df.adapters.policy_training.trainer"):
        require_loaded()
