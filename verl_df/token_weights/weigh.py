# SPDX-License-Identifier: Apache-2.0
"""From the `df.weight:` block and a batch to the weights of its tokens."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from verl_df.token_weights.columns import TokenColumns
from verl_df.token_weights.entropy import entropy
from verl_df.token_weights.pgpo import pgpo
from verl_df.token_weights.probability import high_probability, low_probability
from verl_df.token_weights.rlsd import rlsd
from verl_df.token_weights.settings import Mass, WeightConfig, WeightKind
from verl_df.token_weights.top_entropy import top_entropy
from verl_df.token_weights.tor import tor
from verl_df.token_weights.vppo import vppo

LARGEST_FACTOR = 10.0

Weigh = Callable[[TokenColumns, WeightConfig, np.random.Generator], np.ndarray]


@dataclass(frozen=True)
class Method:
    """One way of weighing tokens.

    Attributes:
        weigh: columns, settings and a generator for draws -> weights, float [rows, T], of any value outside the mask.
        columns: those of `TokenColumns` that it reads besides mask, right and uids.
        neutral: keys of `df.weight` under which every weight is 1.
        hidden: the share of the picture's patches that is black in the pass that leaves `blind_log_probs`; None: no
            such pass is made.
        shown: whether a pass is made that shows a right response, which leaves `shown_log_probs`.
    """

    weigh: Weigh
    columns: tuple[str, ...]
    neutral: Mapping[str, float] = field(default_factory=lambda: {"strength": 0.0})
    hidden: float | None = None
    shown: bool = False


# A new method is a file beside this one, a kind in settings.py and a row here.
METHODS: Mapping[WeightKind, Method] = {
    WeightKind.LOW_PROBABILITY: Method(lambda c, config, rng: low_probability(c, config.value), ("log_probs",)),
    WeightKind.HIGH_PROBABILITY: Method(lambda c, config, rng: high_probability(c, config.value), ("log_probs",)),
    WeightKind.TOP_ENTROPY: Method(
        lambda c, config, rng: top_entropy(c, config.kept, config.over, rng), ("entropy",), {"share": 1.0}
    ),
    WeightKind.ENTROPY: Method(lambda c, config, rng: entropy(c, config.value), ("entropy",)),
    WeightKind.VPPO: Method(
        lambda c, config, rng: vppo(c, config.value, config.kept, config.over, rng),
        ("log_probs", "blind_log_probs"),
        {"strength": 0.0, "share": 1.0},
        hidden=0.5,
    ),
    WeightKind.PGPO: Method(lambda c, config, rng: pgpo(c, config.value), ("log_probs", "blind_log_probs"), hidden=1.0),
    WeightKind.TOR: Method(
        lambda c, config, rng: tor(c, config.kept, config.over, rng),
        ("log_probs", "entropy", "blind_log_probs"),
        {"share": 1.0},
        hidden=1.0,
    ),
    WeightKind.RLSD: Method(
        lambda c, config, rng: rlsd(c, config.value, config.within),
        ("log_probs", "shown_log_probs", "advantages"),
        shown=True,
    ),
}


def hidden_share(kind: WeightKind) -> float | None:
    """Of the picture's patches, in the pass that these weights need; None: they need none."""
    return METHODS[kind].hidden if kind in METHODS else None


def shows_a_response(kind: WeightKind) -> bool:
    """Whether these weights need a pass that shows a right response."""
    return kind in METHODS and METHODS[kind].shown


def token_weights(columns: TokenColumns, config: WeightConfig, *, step: int) -> np.ndarray:
    """w of every token, float32 [rows, T], at least 0, finite, and 0 outside the mask; 1 on the mask with `off`.

    Args:
        columns: of the batch.
        config: whose weights.
        step: of training, for the draw among equals.

    Raises:
        ValueError: a column that the method reads is missing, or a weight is below 0 or not finite, because a column
            is not.
    """
    ones = columns.mask.astype(np.float32)
    if config.kind is WeightKind.OFF:
        return ones
    method = METHODS[config.kind]
    missing = [name for name in method.columns if getattr(columns, name) is None]
    if missing:
        raise ValueError(f"df.weight.kind={config.kind} is computed from {', '.join(missing)}, which the batch lacks")
    weights = method.weigh(columns, config, np.random.default_rng([config.seed, step])).astype(np.float32)
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
