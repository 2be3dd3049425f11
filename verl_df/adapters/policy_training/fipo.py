# SPDX-License-Identifier: Apache-2.0
"""FIPO: advantages times how the policy has moved on the tokens that follow.

Source: "Future-KL Influenced Policy Optimization"; the authors' first release was read. Theirs: δ, its limits, γ, the
clips. Not taken over: rows with more than one dual-clipped token leave their loss, which would change the denominators
of the base, and their DAPO base is whatever the objective is.
"""

import math

import torch

from verl_df.settings.loss_config import LossConfig

# c: a token that became this much more likely counts for nothing; s: one of a negative advantage is not blamed more.
LARGEST_RATIO = 10.0
SAFE_RATIO = 10.0
LEAST_WHERE_UNSAFE = 0.8
LARGEST_LOG_RATIO = 20.0


@torch.no_grad()
def fipo_factors(
    log_ratio: torch.Tensor, advantages: torch.Tensor, mask: torch.Tensor, config: LossConfig
) -> torch.Tensor:
    """f_t = clip(exp F_t, low, high) with F_t = Σ_{k≥t} γ^{k−t}·δ_k, γ = 2^(−1/half-life); without a gradient.

    Args:
        log_ratio: δ_t = log π_θ − log π_old, float [rows, T], any value outside the mask.
        advantages: float [rows, T].
        mask: bool [rows, T].
        config: low, high and half-life.

    Returns:
        float [rows, T]; where an advantage is negative and the ratio above 10, clipped to [0.8, 1].
    """
    delta = log_ratio.clamp(-LARGEST_LOG_RATIO, LARGEST_LOG_RATIO)
    counted = delta.masked_fill(~mask | (delta > math.log(LARGEST_RATIO)), 0.0)
    factors = discounted_rest(counted, 2 ** (-1 / config.half_life)).exp().clamp(config.low, config.high)
    unsafe = (advantages < 0) & (delta > math.log(SAFE_RATIO))
    return torch.where(unsafe, factors.clamp(LEAST_WHERE_UNSAFE, 1.0), factors)


def discounted_rest(values: torch.Tensor, gamma: float) -> torch.Tensor:
    """Σ_{k≥t} γ^{k−t}·values_k along the last axis, in log₂ T steps of doubled reach."""
    total, reach = values.clone(), 1
    while reach < values.shape[-1]:
        total[..., :-reach] = total[..., :-reach] + gamma**reach * total[..., reach:]
        reach *= 2
    return total
