# SPDX-License-Identifier: Apache-2.0
"""verl's advantage estimators times the gate (Eq. 21), registered as `df_NAME` for every NAME of `ESTIMATORS`.

A gate of ones gives verl's result bit for bit. Returns are never gated, so a critic's target is the base's. The gate
comes last: tokens and rows with a gate of zero count in the means and deviations that the base takes over a group or
over all response tokens of the batch.
"""

from dataclasses import dataclass
from typing import Any

import torch
from verl.trainer.ppo import core_algos

from verl_df.adapters.policy_training.row_fields import RowFields, current_row_fields
from verl_df.settings.objectives import ESTIMATORS, gated


@dataclass(frozen=True)
class GatedEstimator:
    """One of verl's estimators with gated advantages: A^DF_t = g_t · A_t (Eq. 21, 27).

    Attributes:
        base: its name in verl's registry.
    """

    base: str

    def __call__(
        self, token_level_rewards: torch.Tensor, response_mask: torch.Tensor, config: Any, **others: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute gated advantages, as verl calls an estimator; no argument is changed in place.

        Args:
            token_level_rewards: float [rows, response_length], the reward on the last token, and KL penalties per token
                where verl puts them into the reward.
            response_mask: int [rows, response_length], 1 on the policy's tokens.
            config: verl's `algorithm` block.
            others: what else verl gives; `index`: object [rows], the uid of the prompt.

        Returns:
            gated advantages and returns, both float [rows, response_length].

        Raises:
            RuntimeError: outside a DF trainer, or `df_gae` without a critic.
        """
        fields = current_row_fields(gated(self.base), response_mask.shape)
        if fields.gate is None:
            raise RuntimeError(f"{gated(self.base)!r} was called in a worker, whose rows have no gate any more")
        advantages, returns = core_algos.get_adv_estimator_fn(self.base)(
            token_level_rewards=token_level_rewards,
            response_mask=response_mask,
            **self._arguments(fields, config, others),
        )
        if fields.imitates:
            advantages = response_mask.to(advantages.dtype)
        gate = fields.gate if fields.weigh is None else fields.gate * fields.weigh(advantages)
        if fields.see_advantages is not None:
            fields.see_advantages(advantages, gate)
        return advantages * gate.to(advantages.dtype), returns

    def _arguments(self, fields: RowFields, config: Any, others: dict[str, Any]) -> dict[str, Any]:
        """What verl's `compute_advantage` gives `gae` and `grpo` by their own names only, and any other base."""
        if self.base == "gae":
            if fields.values is None:
                raise RuntimeError("'df_gae' needs a critic: set critic.enable=True")
            return {"values": fields.values, "gamma": config.gamma, "lam": config.lam}
        if self.base == "grpo":
            by_std = config.get("norm_adv_by_std_in_grpo", True)
            return {"index": others["index"], "norm_adv_by_std_in_grpo": by_std}
        return {"config": config, **others}


for _base in ESTIMATORS:
    core_algos.register_adv_est(gated(_base))(GatedEstimator(_base))
