# SPDX-License-Identifier: Apache-2.0
"""Entry point of the group `verl.plugins`: verl imports this module in every process, first thing.

verl swallows the exception of a plugin that fails to load (a line at DEBUG level), so a broken plugin shows up much
later as an unknown trainer. `require_loaded` is called by the launcher and by the task runner, and raises the real
cause.

| name that becomes known to verl | where | registered by |
| --- | --- | --- |
| platform `cpu` | `VERL_PLATFORM` | `verl_df.platform.cpu` |
| trainer `df_sync` | `trainer.v1.trainer_mode` | `verl_df.adapters.policy_training.trainer` |
| trainer `df_repair_sync` | `trainer.v1.trainer_mode` | `verl_df.adapters.repair_training.trainer` |
| estimators `df_*` | `algorithm.adv_estimator` | `verl_df.adapters.policy_training.advantage` |
| losses `df_*` | `actor.policy_loss.loss_mode` | `verl_df.adapters.policy_training.loss` |
| reward manager `df` | `reward.reward_manager.name` | `verl_df.adapters.policy_training.reward_manager` |
| reward manager `df_repair` | `reward.reward_manager.name` | `verl_df.adapters.repair_training.reward_manager` |
| reward manager `df_judge` | `reward.reward_manager.name` | `verl_df.adapters.judge_reward_manager` |
| agent loop `df_repair` | `rollout.agent.default_agent_loop` | `verl_df.adapters.repair_training.agent_loop` |
| critics of vision-language models | `critic.model.path` | `verl_df.adapters.value_model` |

verl's `file` logger keeps what an interrupted run had logged: `verl_df.adapters.metrics_log`. W&B and TensorBoard get
groups of metrics, tables of pairs, and what a run was started with: `verl_df.adapters.trackers`.
"""

import importlib
import os
from importlib.metadata import entry_points
from types import ModuleType

from wrapt import when_imported

from verl_df import platform
from verl_df.io.pictures import forbid_programs
from verl_df.platform import internvl, position_ids, qwen2_vl, root_logger, video_files, video_positions

GROUP, NAME = "verl.plugins", "verl_df"


class PluginError(RuntimeError):
    """DF's plugin is not active in this process; the message says why and what to do."""


def _import_after(module_name: str, ours: str) -> None:
    """Import `ours` once `module_name` is there: importing verl's trainer now would cost every process seven
    seconds.
    """

    def patch(_: ModuleType) -> None:
        importlib.import_module(ours)

    when_imported(module_name)(patch)


def _patch_value_model_loader(verl_model: ModuleType) -> None:
    """Critics of vision-language models. transformers, which the import below needs, is loaded by then."""
    importlib.import_module("verl_df.adapters.value_model").patch_loader(verl_model)


def _register_value_models(_: ModuleType) -> None:
    """The same for `python -m verl.model_merger`, which loads no critic before it asks for the class."""
    importlib.import_module("verl_df.adapters.value_model").register_families()


def _patch_tracking(tracking: ModuleType) -> None:
    for name in ("metrics_log", "trackers"):
        importlib.import_module(f"verl_df.adapters.{name}").patch(tracking)


def require_loaded() -> None:
    """Check that verl loads this plugin, here and in the processes it starts.

    Raises:
        PluginError: the entry point is not installed, or switched off by `VERL_USE_EXTERNAL_PLUGINS`.
        Exception: whatever importing one of the plugin's modules raises; verl would have hidden it.
    """
    if not any(point.name == NAME for point in entry_points(group=GROUP)):
        raise PluginError(
            f"verl_df is importable but its entry point {NAME!r} in the group {GROUP!r} is not installed, so verl's "
            "workers will not load it: install the project (`bash scripts/setup_env.sh`, or `pip install -e .`)"
        )
    policy = os.environ.get("VERL_USE_EXTERNAL_PLUGINS", "auto").strip().lower()
    if policy != "auto" and NAME not in [name.strip() for name in policy.split(",")]:
        raise PluginError(f"VERL_USE_EXTERNAL_PLUGINS={policy!r} keeps verl from loading {NAME!r}: add it, or unset it")
    importlib.import_module("verl_df.adapters.policy_training.trainer")


forbid_programs()
platform.register()
position_ids.apply()
internvl.apply()
qwen2_vl.apply()
root_logger.apply()
video_files.apply()
video_positions.apply()
for _name in ("policy_training.trainer", "repair_training.trainer"):
    _import_after("verl.trainer.ppo.v1", f"verl_df.adapters.{_name}")
for _name in ("policy_training.reward_manager", "repair_training.reward_manager", "judge_reward_manager"):
    _import_after("verl.experimental.reward_loop.reward_manager", f"verl_df.adapters.{_name}")
_import_after("verl.experimental.agent_loop", "verl_df.adapters.repair_training.agent_loop")
when_imported("verl.utils.tracking")(_patch_tracking)
when_imported("verl.utils.model")(_patch_value_model_loader)
when_imported("verl.model_merger.base_model_merger")(_register_value_models)
