# SPDX-License-Identifier: Apache-2.0
"""More weight on tokens that the policy itself would rather choose, or rather avoid, once it has seen a right response.

Source: RLSD, by ms-swift's settings and unofficial re-implementations (the paper's text was not read). Theirs: the
weight, its sign, λ = 0.5, ε = 0.2, and weights of 1 where there is nothing to show. Our reading: the teacher is π_old
itself, where theirs is a copy that follows the policy slowly; what is shown is a right response of the group and never
the row's own, as SDPO has it ("Reinforcement Learning via Self-Distillation", of which the authors' code was read);
λ does not decay. SDPO's own signed form, the advantage log π_T − log π_S in place of the reward's, is no weight w ≥ 0.
"""

from collections.abc import Sequence

import numpy as np

from verl_df.token_weights.columns import TokenColumns
from verl_df.token_weights.scores import LARGEST_LOG_RATIO


def rlsd(columns: TokenColumns, strength: float, clip: float) -> np.ndarray:
    """w_t = (1 − λ) + λ·clip((π_T/π_S)^sign(A_t), 1 − ε, 1 + ε), float64 [rows, T]; λ = strength, ε = clip.

    π_S(y_t) is π_old's, π_T(y_t) that of the same policy after a prompt that shows a right response.

    Raises:
        ValueError: a column that it reads is missing.
    """
    if columns.shown_log_probs is None or columns.advantages is None:
        raise ValueError("these weights need advantages, and shown_log_probs of a pass that shows a right response")
    gain = columns.shown_log_probs.astype(np.float64) - columns.log_probs
    gain = np.clip(np.where(columns.mask, gain, 0.0), -LARGEST_LOG_RATIO, LARGEST_LOG_RATIO)
    ratio = np.exp(np.sign(columns.advantages) * gain)
    return (1 - strength) + strength * np.clip(ratio, 1 - clip, 1 + clip)


def right_siblings(uids: Sequence[str | None], right: np.ndarray, rng: np.random.Generator) -> list[int | None]:
    """For each row another row of the same prompt that is right, drawn at random; None where there is none.

    Args:
        uids: of each row's prompt; None for padding rows, to which nothing is shown.
        right: bool [rows].
        rng: of the draw, one for each row that has a prompt.
    """
    rows_of: dict[str, list[int]] = {}
    for row, uid in enumerate(uids):
        if uid is not None and right[row]:
            rows_of.setdefault(uid, []).append(row)
    drawn: list[int | None] = []
    for row, uid in enumerate(uids):
        others = [] if uid is None else [other for other in rows_of.get(uid, []) if other != row]
        drawn.append(others[int(rng.integers(len(others)))] if others else None)
    return drawn
