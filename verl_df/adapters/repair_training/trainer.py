# SPDX-License-Identifier: Apache-2.0
"""verl's synchronous V1 trainer for the repair model, with the parts of its reward among the metrics."""

from typing import Any

from omegaconf import DictConfig, open_dict
from verl.trainer.ppo.v1.trainer_base import register_trainer
from verl.trainer.ppo.v1.trainer_sync import PPOTrainerSync

from verl_df.adapters import data_plane
from verl_df.method.repair_reward import summarize_scores

TRAINER_MODE = "df_repair_sync"


@register_trainer(TRAINER_MODE)
class RepairTrainer(PPOTrainerSync):
    """The only differences from `PPOTrainerSync`: `repair/*` metrics, and at the end a line on calls that failed.

    verl keeps what a reward manager says beside the reward, but logs it in validation only.
    """

    def __init__(self, config: DictConfig):
        with open_dict(config):
            # verl compares the mode with the literal "sync"; see `DFTrainer`
            config.trainer.v1.trainer_mode = "sync"
        super().__init__(config)
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
