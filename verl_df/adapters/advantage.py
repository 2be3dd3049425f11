# SPDX-License-Identifier: Apache-2.0
"""The DF advantage estimators: verl's own estimator, times the gate (Eq. 21)."""

from typing import Any

import numpy as np
import torch
from verl.trainer.ppo import core_algos

from verl_df.adapters.row_fields import current_row_fields


@core_algos.register_adv_est("df_grpo")
def df_grpo_advantage(
    token_level_rewards: torch.Tensor,
    response_mask: torch.Tensor,
    index: np.ndarray,
    config: Any,
    **kwargs: Any,
) -> tuple[torch.Tensor, torch.Tensor]:
    """GRPO's group-normalised advantage, gated: A^DF_t = g_t * A(z) (Eq. 21).

    The only difference from verl's `grpo` is the gate; a gate of ones gives verl's result bit for bit.

    Args:
        token_level_rewards: float [rows, response_length], the reward on the last token.
        response_mask: int [rows, response_length].
        index: object [rows], the prompt's uid: rewards are normalised within the optimised group G of Eq. 16.
        config: verl's `algorithm` block (`norm_adv_by_std_in_grpo`).

    Returns:
        advantages (gated) and returns (not gated: they describe the reward, not who is to blame for it),
        both float [rows, response_length].
    """
    advantages, returns = core_algos.compute_grpo_outcome_advantage(
        token_level_rewards=token_level_rewards,
        response_mask=response_mask,
        index=index,
        norm_adv_by_std_in_grpo=config.get("norm_adv_by_std_in_grpo", True),
    )
    gate = current_row_fields("df_grpo", response_mask.shape).gate
    return advantages * gate.to(advantages.dtype), returns
