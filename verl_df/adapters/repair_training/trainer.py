# SPDX-License-Identifier: Apache-2.0
"""verl's synchronous V1 trainer for the repair model, with the parts of its reward among the metrics."""

from typing import Any

from omegaconf import DictConfig
from verl.trainer.ppo.v1.trainer_base import register_trainer

from verl_df.adapters import data_plane
from verl_df.adapters.accounted import AccountedTrainer
from verl_df.adapters.repair_training.fields import log_folder
from verl_df.method.repair_reward import summarize_scores
from verl_df.settings.repair_config import load_repair_training_config

TRAINER_MODE = "df_repair_sync"


@register_trainer(TRAINER_MODE)
class RepairTrainer(AccountedTrainer):
    """The only differences from `AccountedTrainer`: `repair/*` metrics, and at the end a line on calls that failed.

    verl keeps what a reward manager says beside the reward, but logs it in validation only.
    """

    def __init__(self, config: DictConfig):
        df = load_repair_training_config(config.df)
        super().__init__(config, log_folder(config, df), df.budget.device_seconds)
        self._failed: dict[str, float] = {}

    def fit(self, agent_loop_manager: Any) -> None:
        """verl's, then say what failed."""
        super().fit(agent_loop_manager)
        failed = {name: int(count) for name, count in self._failed.items() if count}
        # print, as verl does for its own end-of-run figures: Ray forwards it to the console
        print(f"repair training: calls that failed and were treated by the documented rule: {failed or 'none'}")

    def _compute_metrics(
        self, batch: data_plane.Batch, metrics: dict, timing_raw: dict, global_steps: int, epoch: int
    ) -> None:
        super()._compute_metrics(batch, metrics, timing_raw, global_steps, epoch)
        keys = [key for key, tag in zip(batch.keys, batch.tags, strict=True) if not tag.get("is_padding", False)]
        rows = data_plane.read(batch, keys, ["extra_fields"])["extra_fields"]
        summary = summarize_scores([row["reward_extra_info"] for row in rows])
        metrics.update(summary)
        for name, value in summary.items():
            if name.endswith("_failed"):
                self._failed[name] = self._failed.get(name, 0) + value
