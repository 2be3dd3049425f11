# SPDX-License-Identifier: Apache-2.0
"""The DF advantage estimators: verl's own estimator, times the gate (Eq. 21).

Each function calls verl's and multiplies its advantages; a gate of ones gives verl's result bit for bit. Returns are
never gated, so a critic's target is the base's. The gate comes last: tokens and rows with a gate of zero count in the
means and deviations that the base takes over a group (`grpo`, `rloo`) or over all response tokens of the batch (`gae`,
`reinforce_plus_plus` whiten).

Arguments are as verl gives them, and none is changed in place. All tensors are [rows, response_length]:
token_level_rewards float, the reward on the last token (and KL penalties per token where verl puts them into the
reward); response_mask int, 1 on the policy's tokens. index: object [rows], the uid of the prompt. config: verl's
`algorithm` block. The gate comes from `row_fields`, and every function raises RuntimeError outside a DF trainer. The
result is (gated advantages, returns), both float [rows, response_length].
"""

from typing import Any

import numpy as np
import torch
from verl.trainer.ppo import core_algos

from verl_df.adapters.policy_training.row_fields import current_row_fields


@core_algos.register_adv_est("df_grpo")
def df_grpo_advantage(
    token_level_rewards: torch.Tensor,
    response_mask: torch.Tensor,
    index: np.ndarray,
    config: Any,
    **kwargs: Any,
) -> tuple[torch.Tensor, torch.Tensor]:
    """GRPO, GSPO and DAPO: reward normalised within the group, A^DF_t = g_t · A(z) (Eq. 21).

    The only difference from verl's `grpo` is the gate. Groups are by uid: the optimised group G of Eq. 16 where repairs
    were added, the sampled one where not.
    """
    advantages, returns = core_algos.compute_grpo_outcome_advantage(
        token_level_rewards=token_level_rewards,
        response_mask=response_mask,
        index=index,
        norm_adv_by_std_in_grpo=config.get("norm_adv_by_std_in_grpo", True),
    )
    return _gated("df_grpo", advantages), returns


@core_algos.register_adv_est("df_rloo")
def df_rloo_advantage(
    token_level_rewards: torch.Tensor,
    response_mask: torch.Tensor,
    index: np.ndarray,
    config: Any,
    **kwargs: Any,
) -> tuple[torch.Tensor, torch.Tensor]:
    """RLOO: reward less the mean of the prompt's other rollouts, A^DF_t = g_t · A(z) (Eq. 21).

    The only difference from verl's `rloo` is the gate.
    """
    advantages, returns = core_algos.compute_rloo_outcome_advantage(
        token_level_rewards=token_level_rewards, response_mask=response_mask, index=index, config=config
    )
    return _gated("df_rloo", advantages), returns


@core_algos.register_adv_est("df_reinforce_plus_plus")
def df_reinforce_plus_plus_advantage(
    token_level_rewards: torch.Tensor,
    response_mask: torch.Tensor,
    config: Any,
    **kwargs: Any,
) -> tuple[torch.Tensor, torch.Tensor]:
    """REINFORCE++: discounted return, whitened over the batch, A^DF_t = g_t · A_t (Eq. 21).

    The only difference from verl's `reinforce_plus_plus` is the gate. The discount is `config.gamma`.
    """
    advantages, returns = core_algos.compute_reinforce_plus_plus_outcome_advantage(
        token_level_rewards=token_level_rewards, response_mask=response_mask, config=config
    )
    return _gated("df_reinforce_plus_plus", advantages), returns


@core_algos.register_adv_est("df_gae")
def df_gae_advantage(
    token_level_rewards: torch.Tensor,
    response_mask: torch.Tensor,
    config: Any,
    **kwargs: Any,
) -> tuple[torch.Tensor, torch.Tensor]:
    """PPO: generalised advantage estimation with a critic, A^DF_t = g_t · Â_t (Eq. 26, 27).

    The only difference from verl's `gae` is the gate. verl hands values to its own `gae` alone, so they come the way of
    the gate; discount and lambda are `config.gamma` and `config.lam`.

    Raises:
        RuntimeError: there is no critic, or no DF trainer.
    """
    values = current_row_fields("df_gae", response_mask.shape).values
    if values is None:
        raise RuntimeError("'df_gae' needs a critic: set critic.enable=True")
    advantages, returns = core_algos.compute_gae_advantage_return(
        token_level_rewards=token_level_rewards,
        values=values,
        response_mask=response_mask,
        gamma=config.gamma,
        lam=config.lam,
    )
    return _gated("df_gae", advantages), returns


def _gated(caller: str, advantages: torch.Tensor) -> torch.Tensor:
    return advantages * current_row_fields(caller, advantages.shape).gate.to(advantages.dtype)
