# SPDX-License-Identifier: Apache-2.0
"""The bootstraps against those of scipy."""

import numpy as np
import pytest
from scipy import stats

from verl_df.lab.statistics import bootstrap_interval, paired_bootstrap

SEED_MEANS = [0.736, 0.741, 0.728, 0.752, 0.733]
RIGHT_A = [int(sign) for sign in "0011111110011000110111010010010111110110"]
RIGHT_B = [int(sign) for sign in "0000111010010111001010001001001001001010"]


@pytest.mark.parametrize("seed", [0, 3])
def test_bootstraps_are_scipys(seed):
    """The same draws from the same generator: the same bounds and tails, not only about the same."""
    for values in (SEED_MEANS, RIGHT_A, RIGHT_B):
        theirs = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=10_000, rng=seed)
        ours = bootstrap_interval(values, seed=seed)
        assert (ours.low, ours.high) == pytest.approx(tuple(theirs.confidence_interval))
    theirs = stats.bootstrap(
        (RIGHT_A, RIGHT_B),
        lambda a, b, axis: np.mean(a - b, axis=axis),
        paired=True,
        vectorized=True,
        method="percentile",
        n_resamples=10_000,
        rng=seed,
    )
    ours = paired_bootstrap(RIGHT_A, RIGHT_B, seed=seed)
    assert (ours.low, ours.high) == pytest.approx(tuple(theirs.confidence_interval))
    drawn = theirs.bootstrap_distribution
    tail = min((drawn <= 0).sum(), (drawn >= 0).sum())
    assert ours.p_value == pytest.approx(2 * (tail + 1) / 10_001)


def test_p_value_is_near_that_of_scipys_permutation_test():
    """Another test of the same question: signs exchanged instead of pairs resampled."""
    for share in (0.45, 0.7):
        a = np.random.default_rng(0).binomial(1, share, 200).astype(float)
        b = np.random.default_rng(1).binomial(1, 0.45, 200).astype(float)
        theirs = stats.permutation_test(
            (a, b),
            lambda left, right, axis: np.mean(left - right, axis=axis),
            permutation_type="samples",
            vectorized=True,
            n_resamples=9999,
            rng=0,
        )
        assert paired_bootstrap(a, b, seed=0).p_value == pytest.approx(theirs.pvalue, abs=0.06)
