# SPDX-License-Identifier: Apache-2.0
"""Intervals and estimators against literal numbers, against a slow reference, and by simulation."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verl_df.lab.agreement import cohens_kappa, stratified_share
from verl_df.lab.statistics import (
    Interval,
    bootstrap_interval,
    paired_bootstrap,
    pass_at_k,
    rank_correlation,
    ratio_interval,
    wilson_interval,
)

VALUES = st.lists(st.floats(-5, 5), min_size=1, max_size=12)


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


def test_interval_is_the_normal_one_for_many_values():
    values = np.random.default_rng(0).normal(3.0, 2.0, 2000)
    error = values.std() / math.sqrt(len(values))
    found = bootstrap_interval(values, seed=1)
    assert found.low == pytest.approx(values.mean() - 1.96 * error, abs=0.05 * error)
    assert found.high == pytest.approx(values.mean() + 1.96 * error, abs=0.05 * error)


def test_level_sets_the_width():
    values = np.random.default_rng(0).normal(size=50)
    narrow, wide = (bootstrap_interval(values, seed=0, level=level) for level in (0.5, 0.99))
    assert wide.low < narrow.low < narrow.high < wide.high


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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"values": []}, "no values"),
        ({"values": [1.0, math.nan]}, "finite"),
        ({"values": [1.0], "level": 1.0}, "level"),
        ({"values": [1.0], "samples": 1}, "samples"),
        ({"values": [1.0], "clusters": ["a", "b"]}, "2 cluster labels for 1 values"),
        ({"values": [[1.0, 2.0]]}, "lists of a length"),
    ],
)
def test_bootstrap_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        bootstrap_interval(**arguments, seed=0)


def test_ratio_refuses_nothing_to_average():
    for bottoms in ([0, 0], [-1, 2]):
        with pytest.raises(ValueError, match="denominators"):
            ratio_interval([0, 0], bottoms, seed=0)


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


def test_paired_refuses_other_lengths():
    with pytest.raises(ValueError, match="one value of a for each of b"):
        paired_bootstrap([1, 2], [1], seed=0)


# ---- small estimators -----------------------------------------------------------------------------------------------


def test_wilson_literal():
    # Newcombe 1998, table I: 81/263 and 15/148, 0/20
    for k, n, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611)):
        found = wilson_interval(k, n)
        assert (found.estimate, found.low, found.high) == pytest.approx((k / n, low, high), abs=5e-5)


@given(st.integers(1, 500), st.data())
def test_wilson_holds_the_share_and_is_symmetric(n, data):
    k = data.draw(st.integers(0, n))
    found, other = wilson_interval(k, n), wilson_interval(n - k, n)
    assert 0 <= found.low <= found.estimate <= found.high <= 1
    assert found.low < found.high
    assert (found.low, found.high) == pytest.approx((1 - other.high, 1 - other.low))


@pytest.mark.parametrize(("k", "n"), [(0, 0), (3, 2), (-1, 2)])
def test_wilson_refuses(k, n):
    with pytest.raises(ValueError, match="successes"):
        wilson_interval(k, n)


@given(st.integers(1, 7), st.data())
def test_pass_at_k_is_the_share_of_subsets(n, data):
    right, k = data.draw(st.integers(0, n)), data.draw(st.integers(1, n))
    subsets = list(itertools.combinations([index < right for index in range(n)], k))
    assert pass_at_k(n, right, k) == pytest.approx(np.mean([any(subset) for subset in subsets]))


@pytest.mark.parametrize(("n", "right", "k"), [(1, 1, 2), (2, 3, 1), (2, -1, 1), (2, 1, 0)])
def test_pass_at_k_refuses(n, right, k):
    with pytest.raises(ValueError, match="pass@"):
        pass_at_k(n, right, k)


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
    with pytest.raises(ValueError, match="at least 2"):
        rank_correlation([1], [1])


# ---- agreement ------------------------------------------------------------------------------------------------------


def ratings(table):
    """Two lists of ratings with these counts; rows: rater a."""
    pairs = [(a, b) for a, row in enumerate(table) for b, count in enumerate(row) for _ in range(count)]
    return [a for a, _ in pairs], [b for _, b in pairs]


def true_kappa(table):
    table = np.asarray(table, dtype=float) / np.sum(table)
    expected = float(table.sum(axis=0) @ table.sum(axis=1))
    return (float(np.trace(table)) - expected) / (1 - expected)


def test_kappa_literal():
    # the usual textbook table: 50 items, agreement 0.7, by chance 0.5
    found = cohens_kappa(*ratings([[20, 5], [10, 15]]), seed=0)
    assert (found.observed, found.expected, found.n) == (pytest.approx(0.7), pytest.approx(0.5), 50)
    assert found.value == pytest.approx(0.4)
    # asymptotic error of Fleiss, Cohen and Everitt 1969 for this table: 0.128
    assert (found.low, found.high) == pytest.approx((0.4 - 1.96 * 0.128, 0.4 + 1.96 * 0.128), abs=0.05)


def test_kappa_of_three_categories():
    table = [[10, 2, 1], [0, 7, 3], [2, 0, 9]]
    assert cohens_kappa(*ratings(table), seed=0).value == pytest.approx(true_kappa(table))


@given(st.lists(st.tuples(st.sampled_from("xyz"), st.sampled_from("xyz")), min_size=1, max_size=20))
def test_kappa_is_symmetric_and_inside_its_interval(pairs):
    a, b = zip(*pairs, strict=True)
    found, other = cohens_kappa(a, b, seed=0, samples=50), cohens_kappa(b, a, seed=0, samples=50)
    if len(set(a)) == 1 or len(set(b)) == 1:
        assert math.isnan(found.value) and math.isnan(found.low) and math.isnan(other.high)
    else:
        assert -1 - 1e-9 <= found.low <= found.value <= found.high <= 1 + 1e-9
        assert found.value == pytest.approx(other.value)


def test_full_agreement_leaves_doubt_that_shrinks():
    few, many = (cohens_kappa(*ratings([[n, 0], [0, n]]), seed=0) for n in (5, 200))
    assert few.value == few.high == many.value == many.high == 1
    assert few.low < 0.8 < many.low < 1


@pytest.mark.parametrize(
    "table", [[[0.4, 0.1], [0.1, 0.4]], [[0.72, 0.08], [0.08, 0.12]], [[0.25, 0.25], [0.25, 0.25]]]
)
def test_kappa_interval_covers_as_often_as_it_says(table):
    rng, hits, trials = np.random.default_rng(0), 0, 0
    for seed in range(400):
        drawn = rng.choice(4, 50, p=np.ravel(table))
        found = cohens_kappa((drawn // 2).tolist(), (drawn % 2).tolist(), seed=seed, samples=400)
        if not math.isnan(found.value):
            hits, trials = hits + (found.low <= true_kappa(table) <= found.high), trials + 1
    assert trials > 390 and hits / trials == pytest.approx(0.95, abs=0.035)


def test_row_shares_undo_a_stratified_sample():
    table = np.array([[4, 6], [9, 81]])  # the whole: rater a says 0 of 10 in 100
    drawn = ratings([[40, 60], [10, 90]])  # as many of both kinds of a
    found = cohens_kappa(*drawn, seed=0, row_shares={0: 0.1, 1: 0.9})
    assert found.value == pytest.approx(true_kappa(table))
    assert cohens_kappa(*drawn, seed=0).value != pytest.approx(found.value, abs=0.02)


def test_stratified_kappa_interval_covers():
    shares, rates = (0.1, 0.9), (0.6, 0.05)  # of a; that b says 0
    truth = true_kappa([[shares[a] * rates[a], shares[a] * (1 - rates[a])] for a in (0, 1)])
    rng, hits = np.random.default_rng(1), 0
    for seed in range(300):
        zeros = [rng.binomial(40, rate) for rate in rates]
        drawn = ratings([[zeros[0], 40 - zeros[0]], [zeros[1], 40 - zeros[1]]])
        found = cohens_kappa(*drawn, seed=seed, samples=400, row_shares=dict(enumerate(shares)))
        hits += found.low <= truth <= found.high
    assert hits / 300 == pytest.approx(0.95, abs=0.04)


@pytest.mark.parametrize(
    ("shares", "message"),
    [({0: 0.5, 1: 0.4}, "sum to 1"), ({0: 1.0}, "every category"), ({0: 0.5, 1: 0.3, 2: 0.2}, "sum to 1")],
)
def test_row_shares_must_fit(shares, message):
    with pytest.raises(ValueError, match=message):
        cohens_kappa([0, 1], [0, 1], seed=0, row_shares=shares)


def test_kappa_refuses_other_lengths_and_nothing():
    for a, b in (([1], []), ([], [])):
        with pytest.raises(ValueError, match="ratings"):
            cohens_kappa(a, b, seed=0)


def test_stratified_share_by_hand():
    found = stratified_share([3, 1], [10, 10], [0.2, 0.8], seed=0)
    assert found.estimate == pytest.approx(0.2 * 0.3 + 0.8 * 0.1)
    assert 0.02 < found.low < found.estimate < found.high < 0.45
    recall = stratified_share([3, 1], [10, 10], [0.2, 0.8], seed=0, within=0)
    assert recall.estimate == pytest.approx(0.06 / 0.14)
    # a stratum that the whole does not have needs no sample
    assert stratified_share([3, 0], [10, 0], [1.0, 0.0], seed=0).estimate == 0.3


def test_stratified_share_covers():
    rng, hits = np.random.default_rng(0), 0
    for seed in range(300):
        found = stratified_share(
            [rng.binomial(30, 0.5), rng.binomial(30, 0.1)], [30, 30], [0.3, 0.7], seed=seed, samples=400
        )
        hits += found.low <= 0.3 * 0.5 + 0.7 * 0.1 <= found.high
    assert hits / 300 == pytest.approx(0.95, abs=0.04)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1], [2], [0.5]), "sum to 1"),
        (([1, 1], [2, 2], [1.0]), "its share"),
        (([0, 1], [0, 2], [0.5, 0.5]), "no sample"),
        (([3, 1], [2, 2], [0.5, 0.5]), "more successes"),
    ],
)
def test_stratified_share_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        stratified_share(*arguments, seed=0)


def test_recall_of_nothing_is_refused():
    with pytest.raises(ValueError, match="no success"):
        stratified_share([0, 0], [2, 2], [0.5, 0.5], seed=0, within=0)
