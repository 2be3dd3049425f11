# SPDX-License-Identifier: Apache-2.0
"""Training on the tokens that depend on the picture, and more on responses that depend on it.

Source: VPPO, "Spotlight on Token Perception"; the authors' code was read. The authors': D_t = clip(k3, 0, 10) against
the picture with each 14-pixel patch blackened with probability 0.5 (the paper writes a full KL, the code samples), the
40% of each response's tokens with the highest D_t, and the row factor f. Our reading: ŝ is the min-max over the batch,
not over a device's mini-batch; patches are blackened after the processor's resizing. Their entropy penalty, clip and
filter are left out, so that the base stays the same for all methods.
"""

import numpy as np

from verl_df.token_weights.columns import TokenColumns
from verl_df.token_weights.scores import highest, picture_dependence
from verl_df.token_weights.settings import Scope

LARGEST_DEPENDENCE = 10.0


def vppo(columns: TokenColumns, spread: float, share: float, scope: Scope, rng: np.random.Generator) -> np.ndarray:
    """w_t = f · 1[t among the ⌈ρ·T⌉ highest D_t], float64 [rows, T].

    f = β + ŝ·(β_max − β) with β = 1 − spread, s = mean_t D_t, ŝ its min-max over the rows, and β_max such that the
    mean of f is 1. Published: spread 0.1, ρ 0.4; the base is spread 0 with ρ 1.
    """
    dependence = np.minimum(picture_dependence(columns), LARGEST_DEPENDENCE)
    factors = _row_factors(dependence, columns.mask, spread)
    return factors[:, None] * highest(dependence, columns.mask, share, scope, rng)


def _row_factors(dependence: np.ndarray, mask: np.ndarray, spread: float) -> np.ndarray:
    """f of each row, float64 [rows]; 1 where all rows depend on the picture alike."""
    tokens = mask.sum(axis=1)
    rows = tokens > 0
    factors = np.ones(len(mask))
    if rows.any():
        means = dependence.sum(axis=1)[rows] / tokens[rows]
        width = means.max() - means.min()
        if width > 0:
            scaled = (means - means.min()) / width
            factors[rows] = 1 - spread + scaled * (spread / scaled.mean())
    return factors
