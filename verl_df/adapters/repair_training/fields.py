# SPDX-License-Identifier: Apache-2.0
"""What the parts of the repair model's training share."""

from pathlib import Path

from omegaconf import DictConfig

from verl_df.settings.repair_config import RepairTrainingConfig

# What the agent loop hands to the reward manager, in verl's `extra_fields`.
COUNTERFACTUAL = "df_counterfactual"  # token ids of the repair without the image; None: switched off, or it failed
COUNTERFACTUAL_FAILED = "df_counterfactual_failed"  # whether it ran past its time limit


def log_folder(config: DictConfig, df: RepairTrainingConfig) -> Path:
    """Where a run leaves what is not verl's."""
    return Path(df.log_dir or Path(config.trainer.default_local_dir) / "df")
