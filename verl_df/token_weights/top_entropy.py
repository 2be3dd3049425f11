# SPDX-License-Identifier: Apache-2.0
"""Training on the tokens with the highest entropy only.

Source: "Beyond the 80/20 Rule", as TRL documents it (the paper's text was not read): w_t = 1[H_t ≥ τ], τ the 1 − ρ
quantile over all response tokens of the batch, ρ = 0.2. Entropies are π_old's, which equal the current policy's at the
first optimiser step of a batch.
"""

from collections.abc import Iterable

import numpy as np

from verl_df.token_weights.columns import TokenColumns
from verl_df.token_weights.settings import Scope


def top_entropy(columns: TokenColumns, share: float, scope: Scope, rng: np.random.Generator) -> np.ndarray:
    """1 on ⌈ρ·N⌉ of the N tokens with the highest entropy, float32 [rows, T].

    Small models are certain of most tokens, whose entropy is 0: among equals the draw decides, or all would be kept.
    """
    weights = np.zeros(columns.mask.shape, dtype=np.float32)
    for rows in _scopes(columns, scope):
        tokens = np.flatnonzero(columns.mask[rows])
        entropy = columns.entropy[rows].reshape(-1)[tokens]
        order = np.lexsort((rng.random(len(tokens)), -entropy))
        kept = np.zeros(columns.mask[rows].size, dtype=np.float32)
        kept[tokens[order[: int(np.ceil(share * len(tokens)))]]] = 1
        weights[rows] = kept.reshape(columns.mask[rows].shape)
    return weights


def _scopes(columns: TokenColumns, scope: Scope) -> Iterable[slice]:
    rows = len(columns.mask)
    return [slice(0, rows)] if scope is Scope.BATCH else [slice(row, row + 1) for row in range(rows)]
