# SPDX-License-Identifier: Apache-2.0
"""Metrics of repaired rows apart from the policy's own.

A repair was sampled from another model that saw more than the policy does. If the policy finds it unlikely, or drifts
on it, that shows here before it shows in the accuracy.
"""

from typing import Any

import torch
from tensordict import TensorDict

from verl_df.adapters.policy_training.blind_pass import BLIND_LOG_PROBS
from verl_df.adapters.policy_training.loss import RATIO_SUMS
from verl_df.adapters.policy_training.row_fields import GATE, IS_REPAIR


def log_prob_metrics(data: TensorDict) -> dict[str, float]:
    """Means over tokens of `df/repaired/*` and `df/policy/*`, before the update.

    Args:
        data: df_is_repair [rows, 1]; padded [rows, response_length] tensors response_mask, old_log_probs, df_gate;
            entropy (absent where verl bypasses the policy's own log-probabilities), ref_log_prob (absent without a
            reference model), df_blind_log_probs (absent without a pass that hides the picture).

    Returns:
        old_log_prob (the policy's, all tokens), gated_log_prob (tokens with a gate above zero), entropy, and
        ref_kl, the mean of old_log_prob - ref_log_prob, and picture_gain, that of old_log_prob - df_blind_log_probs:
        how much the picture says about a token. A mean over no token is left out.
    """
    mask, is_repair = data["response_mask"].bool(), data[IS_REPAIR].bool()
    metrics: dict[str, float] = {}
    for name, rows in (("repaired", mask & is_repair), ("policy", mask & ~is_repair)):
        _put_mean(metrics, f"df/{name}/old_log_prob", data["old_log_probs"], rows)
        _put_mean(metrics, f"df/{name}/gated_log_prob", data["old_log_probs"], rows & (data[GATE] > 0))
        if "entropy" in data:
            _put_mean(metrics, f"df/{name}/entropy", data["entropy"], rows)
        if "ref_log_prob" in data:
            _put_mean(metrics, f"df/{name}/ref_kl", data["old_log_probs"] - data["ref_log_prob"], rows)
        if BLIND_LOG_PROBS in data:
            _put_mean(metrics, f"df/{name}/picture_gain", data["old_log_probs"] - data[BLIND_LOG_PROBS], rows)
    return metrics


def _put_mean(metrics: dict[str, float], name: str, values: torch.Tensor, where: torch.Tensor) -> None:
    if where.any():
        metrics[name] = values[where].mean().item()


def ratio_metrics(metrics: dict[str, Any]) -> dict[str, float]:
    """Turn the sums that the loss reported into means over tokens, and take the sums out of `metrics`.

    Returns:
        df/<rows>/ratio, df/<rows>/ppo_kl (minus the mean log ratio) and df/<rows>/clip_fraction (share of tokens whose
        ratio is outside the clip range) for rows in repaired, policy; left out where there was no such token.
    """
    means: dict[str, float] = {}
    for name in ("repaired", "policy"):
        tokens, ratio, log_ratio, clipped = (metrics.pop(f"actor/df/{name}/{key}") for key in RATIO_SUMS)
        if tokens:
            means[f"df/{name}/ratio"] = ratio / tokens
            means[f"df/{name}/ppo_kl"] = -log_ratio / tokens
            means[f"df/{name}/clip_fraction"] = clipped / tokens
    return means
