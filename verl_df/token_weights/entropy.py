# SPDX-License-Identifier: Apache-2.0
"""More weight on uncertain tokens of right responses and on confident tokens of wrong ones.

Our reading of GTPO ("GTPO and GRPO-S", of which the abstract and a replication plan were read) for weights w ≥ 0: the
authors' estimator normalises rewards over tokens, which gives about half the tokens of right responses a negative
advantage; here GRPO's advantage stays and is multiplied.
"""

import numpy as np

from verl_df.token_weights.columns import TokenColumns

# A certain token of a wrong response would have all the weight of its position.
LEAST_ENTROPY = 1e-3


def entropy(columns: TokenColumns, kappa: float) -> np.ndarray:
    """w_t = (1 + κ·d_t·s_t)/(1 + κ), float32 [rows, T], over the d_t rows of one prompt and verdict that reach t.

    s_t is a row's share of their Σ H_t where they are right, and of their Σ 1/H_t where they are wrong, so that the
    weights at each t have mean 1. κ = α₂/α₁ = 0.1.
    """
    scores = np.maximum(columns.entropy.astype(np.float64), LEAST_ENTROPY)
    scores = np.where(columns.right[:, None], scores, 1 / scores) * columns.mask
    names = [f"{uid}/{right}" for uid, right in zip(columns.uids, columns.right, strict=True)]
    _, groups = np.unique(names, return_inverse=True)
    totals = np.zeros((groups.max(initial=-1) + 1, scores.shape[1]))
    running = np.zeros_like(totals)
    np.add.at(totals, groups, scores)
    np.add.at(running, groups, columns.mask)
    shares = np.divide(scores, totals[groups], out=np.zeros_like(scores), where=columns.mask)
    return ((1 + kappa * running[groups] * shares) / (1 + kappa)).astype(np.float32)
