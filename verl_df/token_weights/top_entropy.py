# SPDX-License-Identifier: Apache-2.0
"""Training on the tokens with the highest entropy only.

Source: "Beyond the 80/20 Rule", as TRL documents it (the paper's text was not read): w_t = 1[H_t ≥ τ], τ the 1 − ρ
quantile over all response tokens of the batch, ρ = 0.2. Entropies are π_old's, which equal the current policy's at the
first optimiser step of a batch.
"""

import numpy as np

from verl_df.token_weights.columns import TokenColumns
from verl_df.token_weights.scores import highest
from verl_df.token_weights.settings import Scope


def top_entropy(columns: TokenColumns, share: float, scope: Scope, rng: np.random.Generator) -> np.ndarray:
    """1 on ⌈ρ·N⌉ of the N tokens with the highest entropy, float32 [rows, T]."""
    return highest(columns.entropy, columns.mask, share, scope, rng).astype(np.float32)
