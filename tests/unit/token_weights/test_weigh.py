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
from verl_df.token_weights.pgpo import BETA, THRESHOLD
from verl_df.token_weights.rlsd import right_siblings, rlsd
from verl_df.token_weights.settings import WeightConfig, WeightKind
from verl_df.token_weights.weigh import (
    LARGEST_FACTOR,
    METHODS,
    hidden_share,
    shows_a_response,
    token_weights,
    weight_metrics,
)

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
        blind_log_probs=-draw(arrays.arrays(np.float32, shape, elements=st.floats(0, 100, width=32))),
        shown_log_probs=-draw(arrays.arrays(np.float32, shape, elements=st.floats(0, 100, width=32))),
        advantages=draw(arrays.arrays(np.float32, shape, elements=st.floats(-3, 3, width=32))),
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
    assert (weights(columns, kind=kind, **METHODS[kind].neutral) == columns.mask).all()
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


def dependence(columns, row, at):
    difference = float(columns.blind_log_probs[row, at]) - float(columns.log_probs[row, at])
    difference = min(max(difference, -20), 20)
    return math.exp(difference) - difference - 1


@given(batches(), st.floats(0.01, 1), st.floats(0, 1))
def test_vppo_follows_the_formula(columns, share, spread):
    drawn = weights(columns, kind="vppo", share=share, strength=spread)
    rows = [row for row in range(len(columns.mask)) if columns.mask[row].any()]
    scores = {row: [min(dependence(columns, row, at), 10) for at in np.flatnonzero(columns.mask[row])] for row in rows}
    means = {row: sum(scores[row]) / len(scores[row]) for row in rows}
    width = max(means.values(), default=0) - min(means.values(), default=0)
    for row in rows:
        kept = drawn[row, columns.mask[row]]
        if width > 1e-6:
            scaled = [(means[one] - min(means.values())) / width for one in rows]
            factor = 1 - spread + scaled[rows.index(row)] * spread / (sum(scaled) / len(rows))
        elif width == 0:
            factor = 1
        else:
            continue
        if factor > 1e-6:
            assert np.count_nonzero(kept) == math.ceil(share * len(kept))
            np.testing.assert_allclose(kept[kept > 0], factor, rtol=1e-3)
            left = [score for score, weight in zip(scores[row], kept, strict=True) if weight == 0]
            taken = [score for score, weight in zip(scores[row], kept, strict=True) if weight > 0]
            assert min(taken) >= max(left, default=0) - 1e-6


@given(batches())
def test_pgpo_follows_the_formula(columns):
    drawn = weights(columns, kind="pgpo")
    for row, mask in enumerate(columns.mask):
        scores = [math.log(1 + dependence(columns, row, at)) for at in np.flatnonzero(mask)]
        if not scores or 0 < max(scores) - min(scores) < 1e-3:
            continue
        if max(scores) == min(scores):
            expected = [1.0] * len(scores)
        else:
            places = [(score - min(scores)) / (max(scores) - min(scores)) for score in scores]
            raw = [
                place / THRESHOLD if place < THRESHOLD else 1 + BETA * (place - THRESHOLD) / (1 - THRESHOLD)
                for place in places
            ]
            expected = [weight * len(raw) / sum(raw) for weight in raw]
        np.testing.assert_allclose(drawn[row, mask], expected, rtol=1e-3, atol=1e-4)


@given(batches(), st.floats(0.01, 1), st.sampled_from(["batch", "response"]))
def test_tor_is_one_for_reasoning_and_a_half_for_perception_alone(columns, share, scope):
    drawn = weights(columns, kind="tor", share=share, scope=scope)
    assert set(np.unique(drawn)) <= {0, 0.5, 1}
    sizes = columns.mask.sum(axis=1) if scope == "response" else np.array([columns.mask.sum()])
    size = sum(math.ceil(share * tokens) for tokens in sizes)
    assert (drawn == 1).sum() == size and (drawn == 0.5).sum() <= size
    if scope == "batch" and (drawn == 0.5).any() and (columns.mask & (drawn == 0)).any():
        change = np.abs(columns.log_probs.astype(np.float64) - columns.blind_log_probs)
        assert change[drawn == 0.5].min() >= change[columns.mask & (drawn == 0)].max()


@given(batches(), st.floats(0, 1), st.floats(0.05, 0.5))
def test_rlsd_follows_the_formula(columns, strength, clip):
    drawn = weights(columns, kind="rlsd", strength=strength, clip=clip)
    for row, at in np.argwhere(columns.mask):
        advantage = float(columns.advantages[row, at])
        gain = float(columns.shown_log_probs[row, at]) - float(columns.log_probs[row, at])
        ratio = math.exp(min(gain, 50) if advantage > 0 else min(-gain, 50)) if advantage else 1.0
        expected = (1 - strength) + strength * min(max(ratio, 1 - clip), 1 + clip)
        assert drawn[row, at] == pytest.approx(expected, rel=1e-4)


def test_rlsd_turns_with_the_sign_of_the_advantage():
    """A token that the policy would rather avoid once it has seen a right response: on a wrong row, and a right one."""
    ones = np.ones((3, 1), dtype=np.float32)
    columns = TokenColumns(
        -ones,
        ones,
        ones.astype(bool),
        np.array([False, True, True]),
        ["a"] * 3,
        shown_log_probs=-1.1 * ones,
        advantages=np.array([[-1.0], [1.0], [0.0]], dtype=np.float32),
    )
    drawn = weights(columns, kind="rlsd", strength=1.0)[:, 0]
    assert drawn == pytest.approx([math.exp(0.1), math.exp(-0.1), 1.0])


@given(
    st.lists(st.tuples(st.sampled_from(["a", "b", None]), st.booleans()), max_size=12),
    st.integers(0, 100),
)
def test_what_is_shown_is_another_right_row_of_the_prompt(rows, seed):
    uids, right = [uid for uid, _ in rows], np.array([is_right for _, is_right in rows], dtype=bool)
    drawn = right_siblings(uids, right, np.random.default_rng(seed))
    assert drawn == right_siblings(uids, right, np.random.default_rng(seed))
    for row, sibling in enumerate(drawn):
        others = [one for one, uid in enumerate(uids) if uid == uids[row] and right[one] and one != row]
        assert sibling in others if others and uids[row] is not None else sibling is None


def test_every_right_sibling_can_be_drawn():
    drawn = [right_siblings(["a"] * 5, np.arange(5) != 3, np.random.default_rng(seed)) for seed in range(60)]
    assert {one[3] for one in drawn} == {0, 1, 2, 4} and {one[0] for one in drawn} == {1, 2, 4}


def test_a_missing_column_is_named():
    ones = np.ones((1, 2), dtype=np.float32)
    columns = TokenColumns(-ones, ones, ones.astype(bool), np.ones(1, dtype=bool), ["a"])
    for kind in KINDS:
        assert (hidden_share(kind) is not None) == ("blind_log_probs" in METHODS[kind].columns)
        assert shows_a_response(kind) == ("shown_log_probs" in METHODS[kind].columns)
        if hidden_share(kind) is not None:
            with pytest.raises(ValueError, match=f"kind={kind} is computed from blind_log_probs, which"):
                weights(columns, kind=kind)
        if shows_a_response(kind):
            with pytest.raises(ValueError, match=f"kind={kind} is computed from shown_log_probs, advantages, which"):
                weights(columns, kind=kind)
    with pytest.raises(ValueError, match="these weights need advantages, and shown_log_probs"):
        rlsd(columns, 0.5, 0.2)
    with pytest.raises(ValueError, match="these weights need blind_log_probs"):
        _ = columns.log_ratio


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
        ({"kind": "entropy", "share": 0.5}, "df.weight.share=0.5 has no effect with kind=entropy"),
        ({"kind": "pgpo", "scope": "batch"}, "df.weight.scope=batch has no effect with kind=pgpo"),
        ({"kind": "tor", "clip": 0.1}, "df.weight.clip=0.1 has no effect with kind=tor: it is for rlsd"),
        *(
            ({"kind": kind, "strength": 1.5}, f"with {kind} at most 1, no weight below 0")
            for kind in ("high_probability", "vppo", "pgpo", "rlsd")
        ),
    ],
)
def test_settings_without_effect_or_with_negative_weights_are_refused(given_, message):
    with pytest.raises(ValueError, match=message):
        WeightConfig(**given_)


def test_metrics():
    mask = np.array([[True, True, False]])
    assert weight_metrics(np.array([[0.5, 1.5, 9.0]]), mask) == {"df/weight/mean": 1.0, "df/weight/max": 1.5}
    assert weight_metrics(np.zeros((1, 3)), ~mask & mask) == {}
