# SPDX-License-Identifier: Apache-2.0
"""Entry point of the repair model's supervised training: `torchrun -m recipe.df.main_repair_sft key=value ...`.

verl's `sft_trainer`, its configuration and its command line, with a ledger of what the training takes.
"""

import hydra
from omegaconf import DictConfig
from verl.utils.device import auto_set_device
from verl.utils.distributed import destroy_global_process_group, initialize_global_process_group

from verl_df.adapters.accounted_sft import AccountedSFTTrainer


@hydra.main(config_path="pkg://verl.trainer.config", config_name="sft_trainer_engine", version_base=None)
def main(config: DictConfig) -> None:
    """Train a repair model on repairs."""
    auto_set_device(config)
    initialize_global_process_group()
    AccountedSFTTrainer(config=config).fit()
    destroy_global_process_group()


if __name__ == "__main__":
    main()
