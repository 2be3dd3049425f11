# SPDX-License-Identifier: Apache-2.0
"""Intervals, paired comparisons and small estimators, for the figures that this project reports.

The paper reports means over seeds with 95% bootstrap intervals and a paired bootstrap test and gives no further detail;
the definitions below are our reading. Every random draw comes from the seed that is passed in.
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

_DRAWS_AT_ONCE = 4_000_000  # indices held in memory at a time


@dataclass(frozen=True)
class Interval:
    """An estimate with the bounds of its interval, all in the unit of the values."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class PairedDifference:
    """Mean of a - b over `n` pairs, its interval, and the two-sided p-value of no difference."""

    difference: float
    low: float
    high: float
    p_value: float
    n: int


def bootstrap_interval(
    values: ArrayLike,
    *,
    seed: int,
    level: float = 0.95,
    samples: int = 10_000,
    clusters: Sequence[Hashable] | None = None,
) -> Interval:
    """Percentile bootstrap interval of a mean.

    With few values (the means of five seeds) the interval is too narrow, as every percentile bootstrap is; report how
    many values went in.

    Args:
        values: [n].
        seed: of the resampling.
        level: share of the draws inside the interval.
        samples: number of draws.
        clusters: one label per value; whole clusters are resampled, so that several responses to one prompt stay
            together. None: every value by itself.

    Raises:
        ValueError: no values, values that are not finite, or as many labels as there are not values.
    """
    array = np.asarray(values, dtype=np.float64)
    return ratio_interval(array, np.ones_like(array), seed=seed, level=level, samples=samples, clusters=clusters)


def ratio_interval(
    numerators: ArrayLike,
    denominators: ArrayLike,
    *,
    seed: int,
    level: float = 0.95,
    samples: int = 10_000,
    clusters: Sequence[Hashable] | None = None,
) -> Interval:
    """Percentile bootstrap interval of sum(numerators) / sum(denominators): a mean, a pooled precision, a conditional
    mean.

    Args:
        numerators, denominators: [n] each; a value that does not count has 0 in both.
        seed, level, samples, clusters: as in `bootstrap_interval`. Draws without a denominator are left out.

    Raises:
        ValueError: as `bootstrap_interval`, other lengths, a negative denominator, or denominators that sum to 0.
    """
    top, bottom = np.asarray(numerators, dtype=np.float64), np.asarray(denominators, dtype=np.float64)
    if top.ndim != 1 or top.shape != bottom.shape:
        raise ValueError(f"numerators of shape {top.shape}, denominators of {bottom.shape}: give two lists of a length")
    _check(np.stack([top, bottom]), level, samples)
    if bottom.min() < 0 or bottom.sum() <= 0:
        raise ValueError("denominators must not be negative, and not all be 0: there is nothing to average")
    drawn = _resampled_ratios(top, bottom, clusters, samples, seed)
    return percentiles(float(top.sum() / bottom.sum()), drawn, level)


def paired_bootstrap(
    a: ArrayLike,
    b: ArrayLike,
    *,
    seed: int,
    level: float = 0.95,
    samples: int = 10_000,
    clusters: Sequence[Hashable] | None = None,
) -> PairedDifference:
    """Mean difference a - b of pairs, its percentile interval, and its p-value.

    The pairs are resampled `samples` times, D* is the mean difference of a draw, and
    p = min(1, 2 · min(1 + #{D* <= 0}, 1 + #{D* >= 0}) / (samples + 1)): the two-sided test that belongs to the
    percentile interval, never 0. With few pairs of one sign (five seeds) no draw crosses 0, and p only says that.

    Args:
        a, b: [n] each, in the same order.
        seed, level, samples, clusters: as in `bootstrap_interval`.

    Raises:
        ValueError: as `bootstrap_interval`, or other lengths.
    """
    left, right = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if left.ndim != 1 or left.shape != right.shape:
        raise ValueError(f"pairs of shapes {left.shape} and {right.shape}: give one value of a for each of b")
    difference = left - right
    _check(difference, level, samples)
    drawn = _resampled_ratios(difference, np.ones_like(difference), clusters, samples, seed)
    interval = percentiles(float(difference.mean()), drawn, level)
    beyond = 1 + min(int((drawn <= 0).sum()), int((drawn >= 0).sum()))
    p_value = min(1.0, 2 * beyond / (samples + 1))
    return PairedDifference(interval.estimate, interval.low, interval.high, p_value, len(difference))


def wilson_interval(successes: int, total: int, *, level: float = 0.95) -> Interval:
    """Wilson's score interval of a share. Raises: ValueError for no trials, or more successes than trials."""
    if not 0 <= successes <= total or total == 0:
        raise ValueError(f"{successes} successes of {total}: there must be trials, and at most as many successes")
    found = stats.binomtest(successes, total).proportion_ci(level, method="wilson")
    return Interval(successes / total, float(found.low), float(found.high))


def pass_at_k(n: int, right: int, k: int) -> float:
    """Unbiased chance that any of k samples is right, from `right` of `n` samples: 1 - C(n - right, k) / C(n, k).

    Raises: ValueError unless 0 <= right <= n and 1 <= k <= n.
    """
    if not (0 <= right <= n and 1 <= k <= n):
        raise ValueError(f"pass@{k} of {right} right among {n} samples: k must be in 1..n, right in 0..n")
    return 1.0 - math.comb(n - right, k) / math.comb(n, k)


def rank_correlation(x: ArrayLike, y: ArrayLike) -> float:
    """Spearman's rank correlation, equal values sharing their mean rank; nan where one of the two is constant.

    Raises: ValueError for other lengths, or fewer than two values.
    """
    left, right = np.asarray(x), np.asarray(y)
    if left.shape != right.shape or len(left) < 2:
        raise ValueError(f"a rank correlation takes two lists of one length, at least 2: {left.shape}, {right.shape}")
    if np.ptp(left) == 0 or np.ptp(right) == 0:
        return math.nan
    return float(stats.spearmanr(left, right).statistic)


def _check(array: np.ndarray, level: float, samples: int) -> None:
    if array.size == 0:
        raise ValueError("there are no values to resample")
    if not np.isfinite(array).all():
        raise ValueError("values must be finite numbers: leave out what is not defined")
    if not 0 < level < 1 or samples < 2:
        raise ValueError(f"level={level} must lie in (0, 1) and samples={samples} be at least 2")


def _cluster_indices(clusters: Sequence[Hashable] | None, count: int) -> np.ndarray:
    """Labels as numbers 0, 1, ... in their order of appearance, int64 [count]."""
    if clusters is None:
        return np.arange(count)
    if len(clusters) != count:
        raise ValueError(f"{len(clusters)} cluster labels for {count} values")
    numbers: dict[Hashable, int] = {}
    return np.asarray([numbers.setdefault(label, len(numbers)) for label in clusters])


def _resampled_ratios(
    tops: np.ndarray, bottoms: np.ndarray, clusters: Sequence[Hashable] | None, samples: int, seed: int
) -> np.ndarray:
    """sum(tops) / sum(bottoms) of draws of whole clusters with replacement, float64 [samples].

    Draws whose denominators sum to 0 are left out.
    """
    labels = _cluster_indices(clusters, len(tops))
    top, bottom = np.bincount(labels, tops), np.bincount(labels, bottoms)
    if len(top) == 1:  # every draw is the whole; scipy refuses to resample a single observation
        return np.repeat(top / bottom, samples)
    drawn_top, drawn_bottom = stats.bootstrap(
        (top, bottom),
        lambda top, bottom, axis: np.stack([top.sum(axis), bottom.sum(axis)]),
        paired=True,
        vectorized=True,
        method="percentile",
        n_resamples=samples,
        batch=max(1, _DRAWS_AT_ONCE // len(top)),
        rng=seed,
    ).bootstrap_distribution
    return drawn_top[drawn_bottom > 0] / drawn_bottom[drawn_bottom > 0]


def percentiles(estimate: float, drawn: np.ndarray, level: float) -> Interval:
    """The middle `level` of draws [samples] as the interval of an estimate."""
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Interval(estimate, float(low), float(high))
