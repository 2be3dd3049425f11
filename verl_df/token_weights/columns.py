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
        blind_log_probs: as `log_probs`, of the same tokens where π_old does not see `Method.hidden` of the picture;
            None where no pass without it was made.
        shown_log_probs: as `log_probs`, of the same tokens after a prompt that shows a right response; equal to
            `log_probs` in a row to which none could be shown. None where no such pass was made.
        advantages: before gate and weights, float [rows, T]; None where they are not known yet.
    """

    log_probs: np.ndarray
    entropy: np.ndarray
    mask: np.ndarray
    right: np.ndarray
    uids: Sequence[str | None]
    blind_log_probs: np.ndarray | None = None
    shown_log_probs: np.ndarray | None = None
    advantages: np.ndarray | None = None

    @property
    def log_ratio(self) -> np.ndarray:
        """log π_old(y_t | picture) − log π_old(y_t | picture hidden), float64 [rows, T], 0 outside the mask.

        Raises:
            ValueError: no pass without the picture was made.
        """
        if self.blind_log_probs is None:
            raise ValueError("these weights need blind_log_probs, of a pass of the policy without the picture")
        difference = self.log_probs.astype(np.float64) - self.blind_log_probs
        return np.where(self.mask, difference, 0.0)
