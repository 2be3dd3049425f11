# SPDX-License-Identifier: Apache-2.0
"""More weight on tokens that depend on the picture, the weight of a response kept.

Source: PGPO, "Not All Tokens See Equally", by an unofficial re-implementation (the paper's text was not read). Theirs:
the score, its min-max, the threshold τ = 0.4, β = 2 and the rescaling. Our reading: the picture is hidden by black
pixels, where the original masks attention; `strength` mixes the weights with 1, so that there is a neutral setting.
"""

import numpy as np

from verl_df.token_weights.columns import TokenColumns
from verl_df.token_weights.scores import picture_dependence

THRESHOLD = 0.4
BETA = 2.0


def pgpo(columns: TokenColumns, strength: float) -> np.ndarray:
    """1 − s + s·w_t, float64 [rows, T], of mean 1 over each response; s = strength.

    I_t is the min-max within the response of log(1 + k3); w = I/τ below τ, 1 + β(I − τ)/(1 − τ) from there on, then
    scaled to Σ w = T. A response whose tokens all depend on the picture alike has w = 1.
    """
    scores, mask = np.log1p(picture_dependence(columns)), columns.mask
    low = np.where(mask, scores, np.inf).min(axis=1, keepdims=True, initial=np.inf)
    width = scores.max(axis=1, keepdims=True, initial=0) - np.where(np.isfinite(low), low, 0)
    apart = mask & (width > 0)
    place = np.divide(scores - low, width, out=np.full_like(scores, THRESHOLD), where=apart)
    weights = np.where(place < THRESHOLD, place / THRESHOLD, 1 + BETA * (place - THRESHOLD) / (1 - THRESHOLD)) * mask
    total = weights.sum(axis=1, keepdims=True)
    weights = np.divide(weights * mask.sum(axis=1, keepdims=True), total, out=np.ones_like(weights), where=total > 0)
    return 1 - strength + strength * weights
