# SPDX-License-Identifier: Apache-2.0
"""How well the weights of a response's tokens agree with which of them are wrong."""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from verl_df.lab.statistics import Interval, bootstrap_interval, rank_correlation


@dataclass(frozen=True)
class Agreement:
    """One response's weights w against its e wrong tokens; nan where a figure is not defined.

    Attributes:
        auc: chance that a wrong token has a larger weight than a right one, equal weights counting half; not defined
            where all tokens are wrong.
        precision: of the tokens with the largest weights, at most |e| of them and none with a weight of 0, the share
            that is wrong; not defined where all weights are 0.
        recall: the share of the wrong tokens that is among these.
        share: of the weight, Σ w·e / Σ w, on wrong tokens; not defined where all weights are 0.
        lift: `share` over |e|/T, that of equal weights.
        mass: mean weight Σ w / T.
        rank_correlation: Spearman's, with the mask of the repair; not defined without one, or where either is constant.
    """

    auc: float
    precision: float
    recall: float
    share: float
    lift: float
    mass: float
    rank_correlation: float


MEASURES = tuple(Agreement.__dataclass_fields__)


@dataclass(frozen=True)
class Average:
    """Mean over the responses in which a figure is defined, with a 95% interval by bootstrap over prompts."""

    interval: Interval
    responses: int


def agreement(weights: np.ndarray, wrong: np.ndarray, mask: np.ndarray | None) -> Agreement:
    """Compare one response's weights with the truth.

    Args:
        weights: float [T], finite and at least 0.
        wrong: bool [T], at least one True.
        mask: m of the response's repair, bool [T]; None: it has none.

    Raises:
        ValueError: other shapes, no wrong token, or a weight below 0 or not finite.
    """
    if weights.shape != wrong.shape or weights.ndim != 1 or not wrong.any():
        raise ValueError(f"{weights.shape} weights for {wrong.shape} tokens, {int(wrong.sum())} of them wrong")
    if not (np.isfinite(weights).all() and (weights >= 0).all()):
        raise ValueError("weights must be finite and at least 0")
    weights = weights.astype(np.float64)
    total, count = float(weights.sum()), int(wrong.sum())
    chosen, hits = top_hits(weights, wrong)
    share = float(weights[wrong].sum()) / total if total > 0 else math.nan
    return Agreement(
        auc=auc(weights, wrong),
        precision=hits / chosen if chosen else math.nan,
        recall=hits / count,
        share=share,
        lift=share * len(wrong) / count,
        mass=total / len(weights),
        rank_correlation=math.nan if mask is None or len(mask) < 2 else rank_correlation(weights, mask.astype(np.int8)),
    )


def auc(weights: np.ndarray, wrong: np.ndarray) -> float:
    """Mann and Whitney's U of the wrong tokens over the number of pairs; nan where all or no tokens are wrong."""
    count = int(wrong.sum())
    others = len(wrong) - count
    if count == 0 or others == 0:
        return math.nan
    ranks = stats.rankdata(weights)
    return float((ranks[wrong].sum() - count * (count + 1) / 2) / (count * others))


def top_hits(weights: np.ndarray, wrong: np.ndarray) -> tuple[int, float]:
    """How many tokens are chosen as the |e| heaviest, and how many of these are wrong.

    Tokens without weight are never chosen: a method that gives them none does not point at them. Of equal weights at
    the edge, any choice is as good as another, and the number of wrong ones is the expected one.
    """
    chosen = min(int(wrong.sum()), int((weights > 0).sum()))
    if chosen == 0:
        return 0, 0.0
    edge = np.partition(weights, len(weights) - chosen)[len(weights) - chosen]
    above, at_edge = weights > edge, weights == edge
    left = chosen - int(above.sum())
    return chosen, float(wrong[above].sum() + left * wrong[at_edge].mean())


def averages(
    found: Sequence[Agreement], prompts: Sequence[Hashable], *, seed: int, samples: int = 10_000
) -> dict[str, Average | None]:
    """Each figure's mean over responses; None where it is defined in none.

    Args:
        found: of the responses.
        prompts: of each; whole prompts are resampled, for responses to one prompt are alike.
        seed: of the bootstrap.
        samples: its draws.
    """
    means: dict[str, Average | None] = {}
    for name in MEASURES:
        values = np.array([getattr(one, name) for one in found], dtype=np.float64)
        defined = np.flatnonzero(np.isfinite(values))
        if not len(defined):
            means[name] = None
            continue
        clusters = [prompts[index] for index in defined]
        interval = bootstrap_interval(values[defined], seed=seed, samples=samples, clusters=clusters)
        means[name] = Average(interval, len(defined))
    return means
