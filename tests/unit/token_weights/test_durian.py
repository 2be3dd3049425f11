# SPDX-License-Identifier: Apache-2.0
"""Durian's divisors: against the formula row by row, and what is left alone."""

import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verl_df.token_weights.durian import EPSILON, DurianConfig, durian_factors, picture_complexity

ROWS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c", "d", None]), st.sampled_from([0.0, 0.3, 1.0]), st.floats(-50, 0, width=32)
    ),
    max_size=16,
)
COMPLEXITY = {"a": 0.5, "b": 1.5, "c": 1.5, "d": 2.0, None: 0.0}


def factors(rows, **config):
    uids = [uid for uid, _, _ in rows]
    rewards, log_probs = (np.array([row[place] for row in rows], dtype=np.float64) for place in (1, 2))
    complexity = np.array([COMPLEXITY[uid] for uid in uids])
    return durian_factors(rewards, uids, log_probs, complexity, DurianConfig(**config))


def deviation(values):
    return statistics.stdev(values) if len(values) > 1 else 0.0


def bucket(score, scores, cuts):
    """The number of cuts that a score is above."""
    return sum(score > np.quantile(scores, cut) for cut in cuts)


@given(ROWS, st.floats(0, 1), st.floats(0.1, 1), st.floats(0, 1), st.integers(1, 4))
def test_the_sum_is_that_of_the_paper(rows, group, perception, reasoning, buckets):
    found = factors(rows, group=group, perception=perception, reasoning=reasoning, buckets=buckets)
    uids = list(dict.fromkeys(uid for uid, _, _ in rows if uid is not None))
    rewards = {uid: [reward for one, reward, _ in rows if one == uid] for uid in uids}
    probable = {uid: float(np.mean([row[2] for row in rows if row[0] == uid])) for uid in uids}
    complex_ = {uid: float(np.mean([COMPLEXITY[uid]] * len(rewards[uid]))) for uid in uids}

    def pooled(uid, score, cuts):
        mine = bucket(score[uid], list(score.values()), cuts)
        return deviation(
            [
                one
                for other in uids
                if bucket(score[other], list(score.values()), cuts) == mine
                for one in rewards[other]
            ]
        )

    for (uid, reward, _), factor in zip(rows, found, strict=True):
        if uid is None:
            assert factor == 1
            continue
        above = reward - statistics.mean(rewards[uid])
        own = deviation(rewards[uid])
        spreads = (
            (group, own),
            (perception, pooled(uid, complex_, (0.25, 0.75))),
            (reasoning, pooled(uid, probable, np.arange(1, buckets) / buckets)),
        )
        expected = sum(weight * above / ((spread or own) + EPSILON) for weight, spread in spreads)
        assert factor * above / (own + EPSILON) == pytest.approx(expected, rel=1e-4, abs=1e-5)


@given(ROWS)
def test_grpos_own_divisor_is_one_to_the_bit(rows):
    assert (factors(rows) == 1).all() and factors(rows).dtype == np.float32
    assert DurianConfig().neutral and not DurianConfig(reasoning=0.1).neutral


def test_difficult_prompts_are_divided_by_what_is_usual_among_them():
    """A prompt that is nearly always wrong: its own deviation is small, that of its bucket is not."""
    rows = [("a", float(number == 0), -9.0) for number in range(8)] + [
        ("b", float(number % 2), -9.0) for number in range(8)
    ]
    found = factors(rows, group=0.0, reasoning=1.0, buckets=1)
    assert found[0] < 1 < found[8]


def test_what_lacks_or_cancels_out_is_refused():
    with pytest.raises(ValueError, match="needs extra_info.visual_entropy of each row"):
        durian_factors(np.ones(1), ["a"], np.zeros(1), None, DurianConfig(perception=0.1))
    with pytest.raises(ValueError, match="all three coefficients are 0"):
        DurianConfig(group=0.0)


def test_complexity_is_the_entropy_of_the_spectrum():
    assert picture_complexity(np.ones((4, 3))) == 0 == picture_complexity(np.ones((1, 3)))
    # two orthogonal directions of equal spread
    features = np.array([[1.0, 0], [-1, 0], [0, 1], [0, -1]])
    assert picture_complexity(features) == pytest.approx(math.log(2))
    rng = np.random.default_rng(0)
    features = rng.normal(size=(12, 5)) * np.arange(1, 6) + 7
    centred = features - features.mean(axis=0)
    values = np.clip(np.linalg.eigvalsh(centred @ centred.T / 11), 0, None)
    shares = values[values > 1e-9] / values.sum()
    assert picture_complexity(features) == pytest.approx(-(shares * np.log(shares)).sum())
    assert picture_complexity(3 * features) == pytest.approx(picture_complexity(features))
