# SPDX-License-Identifier: Apache-2.0
"""Weights by the probability of the token. Nothing but old log-probabilities is needed.

Source: "On the Direction of RLVR Updates" (Δlog p reweighting); the authors' code was read. Despite its name it trains
with 1 − p, since tokens whose log-probability moves most are improbable ones. α = 0.2 for a 7B model, 0.1 for an 8B
base model.
"""

import numpy as np

from verl_df.token_weights.columns import TokenColumns


def low_probability(columns: TokenColumns, alpha: float) -> np.ndarray:
    """w_t = 1 + α(1 − p_t), p_t = exp(log π_old(y_t)): float32 [rows, T] in [1, 1 + α]."""
    return 1 + alpha * (1 - np.exp(columns.log_probs))


def high_probability(columns: TokenColumns, c: float) -> np.ndarray:
    """w_t = 1 − c + c·p_t, of "Do Not Let Low-Probability Tokens Over-Dominate": float32 [rows, T] in [1 − c, 1]."""
    return 1 - c * (1 - np.exp(columns.log_probs))
