# SPDX-License-Identifier: Apache-2.0
"""Weights of other methods: against their formulas, and what holds for all of them."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from verl_df.token_weights.columns import TokenColumns
from verl_df.token_weights.entropy import LEAST_ENTROPY
from verl_df.token_weights.settings import STRENGTHS, WeightConfig, WeightKind
from verl_df.token_weights.weigh import LARGEST_FACTOR, token_weights, weight_metrics

KINDS = [kind for kind in WeightKind if kind is not WeightKind.OFF]


@st.composite
def batches(draw):
    rows, length = draw(st.integers(1, 6)), draw(st.integers(1, 8))
    shape = (rows, length)
    floats = st.floats(0, 5, width=32)
    lengths = draw(st.lists(st.integers(0, length), min_size=rows, max_size=rows))
    uids = draw(st.lists(st.sampled_from(["a", "b", None]), min_size=rows, max_size=rows))
    mask = np.arange(length) < np.array(lengths)[:, None]
    return TokenColumns(
        log_probs=-draw(arrays.arrays(np.float32, shape, elements=floats)),
        entropy=draw(arrays.arrays(np.float32, shape, elements=floats)),
        mask=mask & np.array([uid is not None for uid in uids])[:, None],
        right=np.array(draw(st.lists(st.booleans(), min_size=rows, max_size=rows))),
        uids=uids,
    )


def weights(columns, step=1, **config):
    return token_weights(columns, WeightConfig(**config), step=step)


@given(batches(), st.sampled_from(KINDS), st.sampled_from(["response", "mass"]))
def test_weights_are_finite_not_negative_and_zero_on_padding(columns, kind, mass):
    drawn = weights(columns, kind=kind, mass=mass)
    assert drawn.dtype == np.float32 and drawn.shape == columns.mask.shape
    assert np.isfinite(drawn).all() and (drawn >= 0).all()
    assert not drawn[~columns.mask].any()


@given(batches(), st.sampled_from(KINDS))
def test_the_neutral_setting_is_one_to_the_bit(columns, kind):
    neutral = {"strength": 0.0} if kind in STRENGTHS else {"share": 1.0}
    assert (weights(columns, kind=kind, **neutral) == columns.mask).all()
    assert (weights(columns) == columns.mask).all()


@given(batches(), st.sampled_from(KINDS))
def test_under_mass_the_mean_over_a_response_is_one_or_the_factor_is_at_its_limit(columns, kind):
    plain, scaled = weights(columns, kind=kind), weights(columns, kind=kind, mass="mass")
    for row, mask in enumerate(columns.mask):
        if plain[row].any():
            factor = min(mask.sum() / plain[row].sum(), LARGEST_FACTOR)
            np.testing.assert_allclose(scaled[row], plain[row] * factor, rtol=1e-5)


@given(batches())
def test_probability_weights_follow_the_formula(columns):
    for kind, formula in (("low_probability", lambda p: 1.3 - 0.3 * p), ("high_probability", lambda p: 0.7 + 0.3 * p)):
        drawn = weights(columns, kind=kind, strength=0.3)
        for at in np.argwhere(columns.mask):
            assert drawn[tuple(at)] == pytest.approx(formula(math.exp(columns.log_probs[tuple(at)])), rel=1e-5)


@given(batches(), st.floats(0.01, 1))
def test_top_entropy_keeps_the_share_with_the_highest(columns, share):
    kept = weights(columns, kind="top_entropy", share=share).astype(bool)
    assert kept.sum() == math.ceil(share * columns.mask.sum())
    if kept.any() and (columns.mask & ~kept).any():
        assert columns.entropy[kept].min() >= columns.entropy[columns.mask & ~kept].max()


@given(batches(), st.floats(0.01, 1))
def test_top_entropy_of_each_response(columns, share):
    kept = weights(columns, kind="top_entropy", share=share, scope="response")
    assert kept.sum(axis=1).tolist() == [math.ceil(share * tokens) for tokens in columns.mask.sum(axis=1)]


def test_among_equal_entropies_the_draw_decides_anew_at_each_step():
    ones = np.ones((4, 50), dtype=np.float32)
    columns = TokenColumns(-ones, 0 * ones, ones.astype(bool), np.ones(4, dtype=bool), ["a"] * 4)
    first, again, later = (weights(columns, step, kind="top_entropy") for step in (1, 1, 2))
    assert first.sum() == 40 and (first == again).all() and (first != later).any()


@given(batches())
def test_entropy_weights_follow_the_formula(columns):
    drawn, kappa = weights(columns, kind="entropy", strength=0.5), 0.5
    rows, length = columns.mask.shape
    for row, at in ((row, at) for row in range(rows) for at in range(length) if columns.mask[row, at]):
        peers = [
            other
            for other in range(rows)
            if columns.mask[other, at]
            and columns.uids[other] == columns.uids[row]
            and columns.right[other] == columns.right[row]
        ]
        clipped = [max(float(columns.entropy[other, at]), LEAST_ENTROPY) for other in peers]
        scores = [value if columns.right[row] else 1 / value for value in clipped]
        share = scores[peers.index(row)] / sum(scores)
        assert drawn[row, at] == pytest.approx((1 + kappa * len(peers) * share) / (1 + kappa), rel=1e-4)


def test_a_column_that_is_not_finite_is_named():
    ones = np.ones((1, 2), dtype=np.float32)
    columns = TokenColumns(ones * np.nan, ones, ones.astype(bool), np.ones(1, dtype=bool), ["a"])
    with pytest.raises(ValueError, match="df.weight.kind=low_probability gives weights that are not finite"):
        weights(columns, kind="low_probability")


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        ({"strength": 0.5}, "df.weight.strength=0.5 has no effect with kind=off"),
        ({"kind": "top_entropy", "strength": 0.5}, "has no effect with kind=top_entropy"),
        ({"kind": "high_probability", "strength": 1.5}, "at most 1, no weight below 0"),
    ],
)
def test_settings_without_effect_or_with_negative_weights_are_refused(given_, message):
    with pytest.raises(ValueError, match=message):
        WeightConfig(**given_)


def test_metrics():
    mask = np.array([[True, True, False]])
    assert weight_metrics(np.array([[0.5, 1.5, 9.0]]), mask) == {"df/weight/mean": 1.0, "df/weight/max": 1.5}
    assert weight_metrics(np.zeros((1, 3)), ~mask & mask) == {}
