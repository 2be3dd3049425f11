# SPDX-License-Identifier: Apache-2.0
"""Agreement and shares of strata against literal numbers, and their intervals by simulation."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verl_df.lab.agreement import cohens_kappa, stratified_share


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
    ("a", "b", "shares", "message"),
    [
        ([0, 1], [0, 1], {0: 0.5, 1: 0.4}, "sum to 1"),
        ([0, 1], [0, 1], {0: 1.0}, "every category"),
        ([0, 1], [0, 1], {0: 0.5, 1: 0.3, 2: 0.2}, "sum to 1"),
        ([1], [], None, "ratings"),
        ([], [], None, "ratings"),
    ],
)
def test_kappa_refuses(a, b, shares, message):
    with pytest.raises(ValueError, match=message):
        cohens_kappa(a, b, seed=0, row_shares=shares)


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
    ("arguments", "within", "message"),
    [
        (([1], [2], [0.5]), None, "sum to 1"),
        (([1, 1], [2, 2], [1.0]), None, "its share"),
        (([0, 1], [0, 2], [0.5, 0.5]), None, "no sample"),
        (([3, 1], [2, 2], [0.5, 0.5]), None, "more successes"),
        (([0, 0], [2, 2], [0.5, 0.5]), 0, "no success"),
    ],
)
def test_stratified_share_refuses(arguments, within, message):
    with pytest.raises(ValueError, match=message):
        stratified_share(*arguments, seed=0, within=within)
