# SPDX-License-Identifier: Apache-2.0
"""Entry point of the repair model's reinforcement learning: `python -m recipe.df.main_repair key=value ...`.

verl's `main_ppo` with the repair prompt and the repair reward, and with everything that can be known to be wrong
refused before Ray starts.
"""

import sys

import hydra
import ray
from omegaconf import DictConfig
from verl.trainer.main_ppo import run_ppo
from verl.trainer.ppo.utils import need_critic, need_reference_policy
from verl.utils.config import validate_config
from verl.utils.device import auto_set_device

from recipe.df.main_df import CONFIG_FOLDER, DFTaskRunner
from verl_df import plugin
from verl_df.config import ConfigError, check_override_names
from verl_df.repair_checks import check_repair_training
from verl_df.repair_config import RepairTrainingConfig


@hydra.main(config_path=str(CONFIG_FOLDER), config_name="repair_trainer", version_base=None)
def train(config: DictConfig) -> None:
    """Check the run, then hand it to verl."""
    try:
        plugin.require_loaded()
        auto_set_device(config)
        check_repair_training(config)
    except (ConfigError, plugin.PluginError) as error:
        sys.exit(f"error: {error}")  # here, not in main(): Hydra would print a traceback first
    validate_config(config=config, use_reference_policy=need_reference_policy(config), use_critic=need_critic(config))
    run_ppo(config, task_runner_class=ray.remote(DFTaskRunner))


def main() -> None:
    """Run; a wrong setting is one line on stderr, not a traceback."""
    try:
        check_override_names(sys.argv[1:], RepairTrainingConfig)
    except ConfigError as error:
        sys.exit(f"error: {error}")
    train()


if __name__ == "__main__":
    main()
