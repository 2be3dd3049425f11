# SPDX-License-Identifier: Apache-2.0
"""Agreement of two raters, and shares in the whole from a stratified sample.

Written here because no library offers the intervals: scikit-learn's kappa is a point without one, and statsmodels has
the asymptotic error, which calls ten agreements out of ten certain.
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from verl_df.lab.statistics import Interval, percentiles

_PRIOR_MASS = 2.0  # pseudo-observations of a table of agreement; 1/2 a cell for two categories (Jeffreys)


@dataclass(frozen=True)
class Kappa:
    """Cohen's kappa of `n` items with its interval; observed and expected: the shares of agreement it is made of."""

    value: float
    low: float
    high: float
    observed: float
    expected: float
    n: int


def cohens_kappa(
    a: Sequence[Hashable],
    b: Sequence[Hashable],
    *,
    seed: int,
    level: float = 0.95,
    samples: int = 10_000,
    row_shares: Mapping[Hashable, float] | None = None,
) -> Kappa:
    """Cohen's kappa of two raters (Cohen 1960), (observed - expected) / (1 - expected).

    The interval holds the middle `level` of kappa over tables drawn from a Dirichlet distribution around the counts,
    with two pseudo-observations spread evenly over the cells (1/2 a cell for two categories, Jeffreys). A bootstrap
    and the asymptotic error give [1, 1] to ten agreements out of ten; this gives a width that shrinks with n.

    Where a rater uses one category only, kappa says nothing about agreement (0, or 0/0): value and bounds are nan.

    Args:
        a, b: one category per item.
        seed, level, samples: of the interval.
        row_shares: where the items were drawn by what rater `a` said: the share of each of its categories in all
            items, summing to 1. The table's rows then get these weights. None: the items are a plain sample.

    Raises:
        ValueError: no items, other lengths, or shares that do not cover the categories of `a` or do not sum to 1.
    """
    if len(a) != len(b) or not a:
        raise ValueError(f"{len(a)} and {len(b)} ratings: each of at least one item needs one of each rater")
    categories = sorted(set(a) | set(b), key=str)
    position = {category: index for index, category in enumerate(categories)}
    counts = np.zeros((len(categories), len(categories)))
    np.add.at(counts, ([position[one] for one in a], [position[one] for one in b]), 1)
    shares = None if row_shares is None else _checked_shares(row_shares, categories, counts)
    table = counts / counts.sum() if shares is None else _weight_rows(counts, shares)
    observed, expected = (float(part) for part in _agreement(table))
    if len(set(a)) == 1 or len(set(b)) == 1:
        return Kappa(math.nan, math.nan, math.nan, observed, expected, len(a))
    value = (observed - expected) / (1 - expected)
    drawn_observed, drawn_expected = _agreement(_drawn_tables(counts, shares, samples, seed))
    drawn = (drawn_observed - drawn_expected) / (1 - drawn_expected)
    interval = percentiles(value, drawn, level)
    return Kappa(value, min(value, interval.low), max(value, interval.high), observed, expected, len(a))


def stratified_share(
    successes: Sequence[int],
    totals: Sequence[int],
    shares: Sequence[float],
    *,
    seed: int,
    level: float = 0.95,
    samples: int = 10_000,
    within: int | None = None,
) -> Interval:
    """A share in the whole, from a sample of each stratum: sum over strata of share · successes / total.

    The interval holds the middle `level` of the draws from Beta(successes + 1/2, failures + 1/2) in each stratum.

    Args:
        successes, totals: of each stratum's sample.
        shares: of each stratum in the whole, summing to 1.
        seed, level, samples: of the interval.
        within: estimate instead which share of all successes lies in this stratum (a recall).

    Raises:
        ValueError: other lengths, a stratum with a share and no sample, or shares that do not sum to 1; with `within`,
            no success at all.
    """
    k, n, share = (np.asarray(part, dtype=np.float64) for part in (successes, totals, shares))
    if not k.shape == n.shape == share.shape or abs(share.sum() - 1) > 1e-9:
        raise ValueError("give each stratum its successes, its total and its share; the shares must sum to 1")
    if ((n == 0) & (share > 0)).any() or (k > n).any():
        raise ValueError("a stratum has no sample, or more successes than trials")
    drawn = np.random.default_rng(seed).beta(k + 0.5, n - k + 0.5, (samples, len(k))) * share
    found = np.divide(k, n, out=np.zeros_like(k), where=n > 0) * share
    if within is None:
        return _around(float(found.sum()), drawn.sum(axis=1), level)
    if found.sum() == 0:
        raise ValueError("there is no success in any stratum, so no share of them lies in one")
    return _around(float(found[within] / found.sum()), drawn[:, within] / drawn.sum(axis=1), level)


def _around(estimate: float, drawn: np.ndarray, level: float) -> Interval:
    """As `percentiles`, widened to hold the estimate: a prior draws away from shares of 0 and 1."""
    interval = percentiles(estimate, drawn, level)
    return Interval(estimate, min(estimate, interval.low), max(estimate, interval.high))


def _checked_shares(shares: Mapping[Hashable, float], categories: Sequence[Hashable], counts: np.ndarray) -> np.ndarray:
    values = np.asarray([shares.get(category, 0.0) for category in categories], dtype=np.float64)
    seen = counts.sum(axis=1) > 0
    if (values < 0).any() or abs(values.sum() - 1) > 1e-9 or abs(sum(shares.values()) - 1) > 1e-9:
        raise ValueError(f"row_shares={dict(shares)} must sum to 1 over the categories {list(categories)}")
    if ((values > 0) != seen).any():
        raise ValueError(f"row_shares={dict(shares)}: rater a must have items in every category with a share, no other")
    return values


def _weight_rows(counts: np.ndarray, shares: np.ndarray) -> np.ndarray:
    totals = counts.sum(axis=-1, keepdims=True)
    return np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0) * shares[:, None]


def _drawn_tables(counts: np.ndarray, shares: np.ndarray | None, samples: int, seed: int) -> np.ndarray:
    """Tables of shares drawn around `counts`, float64 [samples, categories, categories]; rows fixed by `shares`."""
    rng = np.random.default_rng(seed)
    # gamma draws that are divided by their sum are Dirichlet draws, whatever is summed over
    drawn = rng.gamma(counts + _PRIOR_MASS / counts.size, size=(samples, *counts.shape))
    return drawn / drawn.sum(axis=(1, 2), keepdims=True) if shares is None else _weight_rows(drawn, shares)


def _agreement(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Observed agreement and the agreement expected by chance, of tables [..., categories, categories]."""
    observed = np.trace(table, axis1=-2, axis2=-1)
    return observed, (table.sum(axis=-1) * table.sum(axis=-2)).sum(axis=-1)
