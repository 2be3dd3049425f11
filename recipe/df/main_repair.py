# SPDX-License-Identifier: Apache-2.0
"""Entry point of the repair model's reinforcement learning: `python -m recipe.df.main_repair key=value ...`.

verl's `main_ppo` with the repair prompt and the repair reward, and with everything that can be known to be wrong
refused before Ray starts.
"""

from collections.abc import Sequence

import hydra
from omegaconf import DictConfig

from recipe.df.main_df import CONFIG_FOLDER, launch, run
from verl_df.settings.config import check_config_groups, check_override_names
from verl_df.settings.repair_checks import check_repair_training
from verl_df.settings.repair_config import RepairTrainingConfig


@hydra.main(config_path=str(CONFIG_FOLDER), config_name="repair_trainer", version_base=None)
def train(config: DictConfig) -> None:
    """Check the run, then hand it to verl."""
    launch(config, check_repair_training)


def command_line(arguments: Sequence[str]) -> list[str]:
    """The command line as Hydra is to read it. Raises: ConfigError, for a name that does not exist."""
    check_config_groups(arguments, CONFIG_FOLDER)
    check_override_names(arguments, RepairTrainingConfig)
    return list(arguments)


def main() -> None:
    """Train a repair model."""
    run(command_line, train)


if __name__ == "__main__":
    main()
