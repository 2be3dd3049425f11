# SPDX-License-Identifier: Apache-2.0
"""What weights are computed from."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class TokenColumns:
    """A batch, padded.

    Attributes:
        log_probs: of the sampled tokens under π_old, float32 [rows, T], natural logarithm.
        entropy: of π_old's distribution at each token, float32 [rows, T], in nats.
        mask: bool [rows, T], True on the policy's tokens of rows that are trained on.
        right: bool [rows], whether r_task reaches the threshold.
        uids: of each row's prompt; None for padding rows.
    """

    log_probs: np.ndarray
    entropy: np.ndarray
    mask: np.ndarray
    right: np.ndarray
    uids: Sequence[str | None]
