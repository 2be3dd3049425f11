# SPDX-License-Identifier: Apache-2.0
"""Training on tokens of reasoning, and half as much on tokens of perception.

Source: ToR, "Bridging Perception and Reasoning: Token Reweighting for RLVR", by an unofficial re-implementation and a
digest (there is no official code, the paper's text was not read). Theirs: the two sets of 30% of the batch's tokens and
their weights. Our reading: entropy is of the whole distribution, theirs of its top-p 0.95 part; the picture is black,
where "∅" is a prompt without image tokens, whose positions would be others.
"""

import numpy as np

from verl_df.token_weights.columns import TokenColumns
from verl_df.token_weights.scores import highest
from verl_df.token_weights.settings import Scope

PERCEPTION = 0.5


def tor(columns: TokenColumns, share: float, scope: Scope, rng: np.random.Generator) -> np.ndarray:
    """1 on the share ρ of tokens with the highest entropy, ½ on those in the perception set only, else 0: [rows, T].

    The perception set is the share ρ with the largest |log π(y_t | I, q) − log π(y_t | ∅, q)|. ρ = 0.3; the base is 1.
    """
    reasoning = highest(columns.entropy, columns.mask, share, scope, rng)
    perception = highest(np.abs(columns.log_ratio), columns.mask, share, scope, rng)
    return np.where(reasoning, 1.0, PERCEPTION * perception)
