# SPDX-License-Identifier: Apache-2.0
"""From the `df.weight:` block and a batch to the weights of its tokens."""

from collections.abc import Callable, Mapping

import numpy as np

from verl_df.token_weights.columns import TokenColumns
from verl_df.token_weights.entropy import entropy
from verl_df.token_weights.probability import high_probability, low_probability
from verl_df.token_weights.settings import Mass, WeightConfig, WeightKind
from verl_df.token_weights.top_entropy import top_entropy

LARGEST_FACTOR = 10.0

# A new method is a file beside this one, a kind in settings.py and a row here.
_METHODS: Mapping[WeightKind, Callable[[TokenColumns, WeightConfig, np.random.Generator], np.ndarray]] = {
    WeightKind.LOW_PROBABILITY: lambda columns, config, rng: low_probability(columns, config.value),
    WeightKind.HIGH_PROBABILITY: lambda columns, config, rng: high_probability(columns, config.value),
    WeightKind.TOP_ENTROPY: lambda columns, config, rng: top_entropy(columns, config.share, config.scope, rng),
    WeightKind.ENTROPY: lambda columns, config, rng: entropy(columns, config.value),
}


def token_weights(columns: TokenColumns, config: WeightConfig, *, step: int) -> np.ndarray:
    """w of every token, float32 [rows, T], at least 0, finite, and 0 outside the mask; 1 on the mask with `off`.

    Args:
        columns: of the batch.
        config: whose weights.
        step: of training, for the draw among equals.

    Raises:
        ValueError: a weight below 0 or not finite, because a column is not.
    """
    ones = columns.mask.astype(np.float32)
    if config.kind is WeightKind.OFF:
        return ones
    weights = _METHODS[config.kind](columns, config, np.random.default_rng([config.seed, step])).astype(np.float32)
    weights = np.where(columns.mask, weights, np.float32(0))
    if not (np.isfinite(weights).all() and (weights >= 0).all()):
        raise ValueError(
            f"df.weight.kind={config.kind} gives weights that are not finite or below 0: look at the log-probabilities "
            "and entropies of this step"
        )
    return weights if config.mass is Mass.RESPONSE else _with_mean_one(weights, ones)


def _with_mean_one(weights: np.ndarray, ones: np.ndarray) -> np.ndarray:
    mass, tokens = weights.sum(axis=1, keepdims=True), ones.sum(axis=1, keepdims=True)
    factors = np.divide(tokens, mass, out=np.zeros_like(mass), where=mass > 0)
    return weights * np.minimum(factors, np.float32(LARGEST_FACTOR))


def weight_metrics(weights: np.ndarray, mask: np.ndarray) -> dict[str, float]:
    """The mean weight ρ of the trained tokens, which acts like a learning rate, and the largest one."""
    if not mask.any():
        return {}
    return {"df/weight/mean": float(weights[mask].mean()), "df/weight/max": float(weights[mask].max())}
