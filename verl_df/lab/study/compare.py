# SPDX-License-Identifier: Apache-2.0
"""Two arms of a study on the same problems and seeds."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from verl_df.lab.statistics import percentiles
from verl_df.lab.study.results import Result

SAMPLES = 10_000
# For the number of seeds that would be needed: the level of the test, and the chance to pass it.
LEVEL, POWER = 0.01, 0.8

Figure = Callable[[Result], np.ndarray]
"""float64 [problems] of one run."""


def at_last_step(result: Result) -> np.ndarray:
    """Whether each problem is solved at the end of training."""
    return result.verdicts(result.steps[-1])


def over_training(result: Result) -> np.ndarray:
    """The share of validations after step 0 at which each problem is solved: the mean of the curve."""
    return np.mean([result.verdicts(step) for step in result.steps if step > 0], axis=0)


@dataclass(frozen=True)
class Contrast:
    """a - b over the seeds that both have, as shares.

    Attributes:
        difference: mean over seeds and problems.
        low, high: 95% percentile bootstrap, seeds and problems resampled together, pairs kept.
        p_seeds: two-sided paired t-test over the seeds' means, which treats the problems as given; None for one seed,
            or where all seeds differ by the same amount.
        seeds: number of pairs.
        needed: seeds with which a difference of this size would pass that test at 0.01 four times out of five; None as
            `p_seeds`, or without a difference.
    """

    difference: float
    low: float
    high: float
    p_seeds: float | None
    seeds: int
    needed: int | None


def contrast(a: Sequence[Result], b: Sequence[Result], figure: Figure, *, draws_seed: int = 0) -> Contrast | None:
    """a - b; None where they have no seed in common.

    Raises:
        ValueError: they were validated on other problems.
    """
    ours, theirs = ({result.seed: result for result in one} for one in (a, b))
    seeds = [seed for seed in ours if seed in theirs]
    if not seeds:
        return None
    for seed in seeds:
        if ours[seed].problems != theirs[seed].problems:
            raise ValueError(f"{ours[seed].arm} and {theirs[seed].arm}, seed {seed}: validated on other problems")
    pairs = np.array([figure(ours[seed]) - figure(theirs[seed]) for seed in seeds])
    interval = percentiles(float(pairs.mean()), _resampled(pairs, draws_seed), 0.95)
    by_seed = pairs.mean(axis=1)
    p_value, needed = None, None
    if len(seeds) > 1 and np.ptp(by_seed) > 0:
        p_value = float(stats.ttest_1samp(by_seed, 0).pvalue)
        needed = seeds_needed(float(by_seed.mean()), float(by_seed.std(ddof=1)))
    return Contrast(interval.estimate, interval.low, interval.high, p_value, len(seeds), needed)


def _resampled(pairs: np.ndarray, seed: int) -> np.ndarray:
    """Mean of `pairs` [seeds, problems] over draws of seeds and of problems with replacement, float64 [SAMPLES]."""
    rng = np.random.default_rng(seed)
    rows, columns = pairs.shape
    of_rows = rng.multinomial(rows, np.full(rows, 1 / rows), size=SAMPLES)
    of_columns = rng.multinomial(columns, np.full(columns, 1 / columns), size=SAMPLES)
    return ((of_rows @ pairs) * of_columns).sum(axis=1) / pairs.size


def seeds_needed(difference: float, deviation: float) -> int | None:
    """Pairs of seeds for a two-sided t-test of level `LEVEL` with power `POWER`; None for no difference."""
    if difference == 0:
        return None
    effect = abs(difference) / deviation
    for pairs in range(2, 10_001):
        critical = stats.t.ppf(1 - LEVEL / 2, pairs - 1)
        if 1 - stats.nct.cdf(critical, pairs - 1, effect * math.sqrt(pairs)) >= POWER:
            return pairs
    return None
