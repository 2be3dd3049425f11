# SPDX-License-Identifier: Apache-2.0
"""What several methods share: tokens with the highest scores, and how much a token depends on the picture."""

from collections.abc import Iterable

import numpy as np

from verl_df.token_weights.columns import TokenColumns
from verl_df.token_weights.settings import Scope

# Beyond it the exponential of a log ratio says nothing more, and would leave float32.
LARGEST_LOG_RATIO = 20.0


def highest(scores: np.ndarray, mask: np.ndarray, share: float, scope: Scope, rng: np.random.Generator) -> np.ndarray:
    """The ⌈ρ·N⌉ of N tokens with the highest scores, bool [rows, T]; among equals the draw decides.

    Args:
        scores: float [rows, T].
        mask: bool [rows, T], the tokens that are chosen among.
        share: ρ in (0, 1].
        scope: N tokens of the batch, or of each response.
        rng: of the draw. Small models are certain of most tokens: without a draw all would be kept, or the first.
    """
    chosen = np.zeros(mask.shape, dtype=bool)
    for rows in _scopes(len(mask), scope):
        tokens = np.flatnonzero(mask[rows])
        order = np.lexsort((rng.random(len(tokens)), -scores[rows].reshape(-1)[tokens]))
        kept = np.zeros(mask[rows].size, dtype=bool)
        kept[tokens[order[: int(np.ceil(share * len(tokens)))]]] = True
        chosen[rows] = kept.reshape(mask[rows].shape)
    return chosen


def _scopes(rows: int, scope: Scope) -> Iterable[slice]:
    return [slice(0, rows)] if scope is Scope.BATCH else [slice(row, row + 1) for row in range(rows)]


def picture_dependence(columns: TokenColumns) -> np.ndarray:
    """k3 = exp(b − a) − (b − a) − 1 ≥ 0 for log-probabilities a with and b without the picture, float64 [rows, T].

    An estimate of KL(with ‖ without) from the one sampled token; 0 outside the mask. b − a is clipped at ±20.
    """
    difference = -np.clip(columns.log_ratio, -LARGEST_LOG_RATIO, LARGEST_LOG_RATIO)
    return np.maximum(np.expm1(difference) - difference, 0)
