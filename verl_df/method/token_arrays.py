# SPDX-License-Identifier: Apache-2.0
"""What the update saw of each token of a logged pair, as JSON lines beside the pairs."""

from collections.abc import Sequence
from dataclasses import fields

import numpy as np

from verl_df.io.lines import Lines
from verl_df.io.validation import Listed, checked

Values = Listed[float | None]
"""One value per response token; null where it is not a finite number."""


@checked
class UpdateSide:
    """One row of the update; all sequences have one entry per response token, and are null where a run has none.

    Attributes:
        trained: 1 on tokens of the response mask, 0 on those of a tool.
        advantage: of the base estimator, before the gate.
        weight: what multiplied it: the gate, its normaliser and the weights of tokens and prompts.
        gated_advantage: what the loss was given, after `df.gate.clamp_errors`.
        old_log_prob: of the policy that the step began with (or the rollout engine's, where verl bypasses it).
        rollout_log_prob: of the rollout engine; null for a repair, and without `calculate_log_probs`.
        log_prob: of the policy at the row's last pass in the update, before the optimiser step of its mini-batch.
        ratio: of the last two, as the loss forms it; in GSPO one for the whole row.
        clipped: 1 where the ratio is outside the clip range.
        entropy: of the policy that the step began with; null where verl bypasses it.
        ref_kl: old_log_prob minus the reference model's, an estimate of KL; null without a reference model.

    Raises:
        ValueError: the lengths differ.
    """

    trained: Listed[int]
    advantage: Values
    weight: Values
    gated_advantage: Values
    old_log_prob: Values
    rollout_log_prob: Values | None
    log_prob: Values
    ratio: Values
    clipped: Listed[int]
    entropy: Values | None
    ref_kl: Values | None

    def __post_init__(self) -> None:
        for one in fields(self):
            values = getattr(self, one.name)
            if values is not None and len(values) != len(self.trained):
                raise ValueError(f"{one.name} has {len(values)} entries for {len(self.trained)} tokens")


@checked
class TokenArrays:
    """Both rows of a pair in the update of its step.

    Attributes:
        step: training step.
        key: of the rollout y, as in the pair's record.
        error: the row of y; None where it was not in the update.
        repair: the row of its repair; None where there is none, or it is not trained on.
    """

    step: int
    key: str
    error: UpdateSide | None
    repair: UpdateSide | None


TOKEN_ARRAYS = Lines(TokenArrays, version=1)
TOKEN_ARRAYS_FILE = "token_arrays.jsonl"


def rounded(values: np.ndarray | Sequence[float]) -> tuple[float | None, ...]:
    """Five significant digits, enough to read and to plot; None for NaN and infinity, which JSON does not have."""
    array = np.asarray(values, dtype=np.float64)
    return tuple(float(f"{value:.5g}") if np.isfinite(value) else None for value in array.tolist())
