# SPDX-License-Identifier: Apache-2.0
"""Intervals and estimators against recorded and literal numbers, and by simulation."""

import itertools
import json
import math
from dataclasses import astuple
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from verl_df.lab import statistics
from verl_df.lab.statistics import (
    Interval,
    bootstrap_interval,
    paired_bootstrap,
    pass_at_k,
    rank_correlation,
    ratio_interval,
    wilson_interval,
)

# Recorded from this project's own bootstrap, score interval and rank correlation, before scipy computed them.
FIGURES = json.loads(Path(__file__).with_name("statistics_figures.json").read_text())
VALUES = st.lists(st.floats(-5, 5), min_size=1, max_size=12)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("case", FIGURES, ids=lambda case: case["function"])
def test_figures_are_the_recorded_ones(case):
    found = getattr(statistics, case["function"])(*case["args"], **case["options"])
    if isinstance(found, float):
        expected = math.nan if case["result"] is None else case["result"]
        assert found == pytest.approx(expected, abs=1e-12, nan_ok=True)
    else:
        assert astuple(found) == pytest.approx(astuple(type(found)(**case["result"])), abs=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (partial(bootstrap_interval, [], seed=0), "no values"),
        (partial(bootstrap_interval, [1.0, math.nan], seed=0), "finite"),
        (partial(bootstrap_interval, [1.0], seed=0, level=1.0), "level"),
        (partial(bootstrap_interval, [1.0], seed=0, samples=1), "samples"),
        (partial(bootstrap_interval, [1.0], seed=0, clusters=["a", "b"]), "2 cluster labels for 1 values"),
        (partial(bootstrap_interval, [[1.0, 2.0]], seed=0), "lists of a length"),
        (partial(ratio_interval, [0, 0], [0, 0], seed=0), "denominators"),
        (partial(ratio_interval, [0, 0], [-1, 2], seed=0), "denominators"),
        (partial(paired_bootstrap, [1, 2], [1], seed=0), "one value of a for each of b"),
        (partial(wilson_interval, 0, 0), "successes"),
        (partial(wilson_interval, 3, 2), "successes"),
        (partial(wilson_interval, -1, 2), "successes"),
        (partial(pass_at_k, 1, 1, 2), "pass@"),
        (partial(pass_at_k, 2, 3, 1), "pass@"),
        (partial(pass_at_k, 2, -1, 1), "pass@"),
        (partial(pass_at_k, 2, 1, 0), "pass@"),
        (partial(rank_correlation, [1], [1]), "at least 2"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# ---- bootstrap ------------------------------------------------------------------------------------------------------


@given(VALUES, st.integers(0, 3))
def test_interval_holds_the_mean_and_is_repeatable(values, seed):
    found = bootstrap_interval(values, seed=seed, samples=200)
    assert found == bootstrap_interval(values, seed=seed, samples=200)
    assert found.estimate == pytest.approx(np.mean(values))
    assert min(values) - 1e-9 <= found.low <= found.high <= max(values) + 1e-9


def test_every_draw_of_two_values_by_hand():
    # draws of {0, 1}: mean 0 with chance 1/4, 0.5 with 1/2, 1 with 1/4; the middle 40% are all 0.5
    assert bootstrap_interval([0, 1], seed=0, level=0.4) == Interval(0.5, 0.5, 0.5)
    assert bootstrap_interval([0, 1], seed=0, level=0.6) == Interval(0.5, 0.0, 1.0)


def test_clusters_stay_together():
    values = np.random.default_rng(0).normal(size=40)
    alone = bootstrap_interval(values, seed=0)
    repeated = np.repeat(values, 10)
    by_cluster = bootstrap_interval(repeated, seed=0, clusters=[index // 10 for index in range(400)])
    assert (by_cluster.low, by_cluster.high) == pytest.approx((alone.low, alone.high))
    ignored = bootstrap_interval(repeated, seed=0)
    assert ignored.high - ignored.low < 0.5 * (by_cluster.high - by_cluster.low)


def test_ratio_pools_its_parts():
    found = ratio_interval([1, 3, 0], [2, 4, 4], seed=0)
    assert found.estimate == 0.4 and (found.low, found.high) == (0.0, 0.75)


def test_ratio_leaves_out_draws_without_a_denominator():
    assert ratio_interval([1, 0], [2, 0], seed=0) == Interval(0.5, 0.5, 0.5)


def test_many_values_are_drawn_in_pieces(monkeypatch):
    values = np.random.default_rng(0).normal(size=30)
    whole = bootstrap_interval(values, seed=0, samples=100)
    monkeypatch.setattr("verl_df.lab.statistics._DRAWS_AT_ONCE", 70)
    assert bootstrap_interval(values, seed=0, samples=100) == whole


# ---- paired comparisons ---------------------------------------------------------------------------------------------


def test_paired_by_hand():
    found = paired_bootstrap([3, 2, 5], [1, 1, 2], seed=0, samples=999)
    assert (found.difference, found.low, found.high, found.n) == (2.0, 1.0, 3.0, 3)
    assert found.p_value == 2 / 1000  # no draw reaches 0


def test_paired_counts_draws_on_the_other_side():
    # the mean of two draws from {-1, 1} is -1, 0, 0 or 1: D* <= 0 in 3 of 4
    found = paired_bootstrap([-1, 1], [0, 0], seed=0)
    assert found.p_value == 1.0
    # of {-1, 3}: -1, 1, 1, 3, so D* <= 0 in 1 of 4
    assert paired_bootstrap([-1, 3], [0, 0], seed=0).p_value == pytest.approx(0.5, abs=0.03)


@given(VALUES)
def test_equal_pairs_do_not_differ(values):
    found = paired_bootstrap(values, values, seed=0, samples=100)
    assert (found.difference, found.low, found.high, found.p_value) == (0, 0, 0, 1)


@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=1, max_size=9))
def test_exchanging_the_sides_turns_the_sign(pairs):
    a, b = zip(*pairs, strict=True)
    one, other = paired_bootstrap(a, b, seed=0, samples=300), paired_bootstrap(b, a, seed=0, samples=300)
    assert one.p_value == other.p_value and one.difference == -other.difference
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low))


def test_p_value_is_uniform_without_a_difference():
    rng = np.random.default_rng(0)
    p_values = [paired_bootstrap(*rng.normal(size=(2, 30)), seed=seed, samples=400).p_value for seed in range(400)]
    assert np.mean(np.array(p_values) < 0.05) == pytest.approx(0.05, abs=0.03)
    assert np.mean(p_values) == pytest.approx(0.5, abs=0.05)


def test_paired_keeps_clusters_together():
    a = np.repeat(np.random.default_rng(0).normal(0.3, 1, 20), 8)
    clusters = np.repeat(np.arange(20), 8).tolist()
    apart, together = (paired_bootstrap(a, np.zeros(160), seed=0, clusters=labels) for labels in (None, clusters))
    assert together.high - together.low > 2 * (apart.high - apart.low)


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


# ---- small estimators -----------------------------------------------------------------------------------------------


def test_wilson_literal():
    # Newcombe 1998, table I: 81/263 and 15/148, 0/20
    for k, n, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611)):
        found = wilson_interval(k, n)
        assert (found.estimate, found.low, found.high) == pytest.approx((k / n, low, high), abs=5e-5)


@given(st.integers(1, 7), st.data())
def test_pass_at_k_is_the_share_of_subsets(n, data):
    right, k = data.draw(st.integers(0, n)), data.draw(st.integers(1, n))
    subsets = list(itertools.combinations([index < right for index in range(n)], k))
    assert pass_at_k(n, right, k) == pytest.approx(np.mean([any(subset) for subset in subsets]))


def test_rank_correlation_literal():
    assert rank_correlation([1, 2, 3], [10, 100, 101]) == pytest.approx(1)
    assert rank_correlation([0.2, 0.4, 0.5, 0.6, 0.8], [81.3, 81.1, 80.9, 78.2, 74.2]) == pytest.approx(-1)
    # no ties: 1 - 6 * sum(d^2) / (n (n^2 - 1)) with d = 0, 1, 1, 0
    assert rank_correlation([1, 2, 3, 4], [1, 3, 2, 4]) == pytest.approx(0.8)
    # ties share their mean rank: ranks 1.5, 1.5, 3 against 1, 2, 3
    assert rank_correlation([5, 5, 9], [1, 2, 3]) == pytest.approx(math.sqrt(3) / 2)
    # ranks 1.5, 1.5, 3, 4 against 1, 2, 3, 4: covariance 4.5 over sqrt(4.5 * 5)
    assert rank_correlation([5, 5, 9, 10], [1, 2, 3, 4]) == pytest.approx(math.sqrt(0.9))
    assert math.isnan(rank_correlation([1, 2], [3, 3]))
