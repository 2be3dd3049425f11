# SPDX-License-Identifier: Apache-2.0
"""How weights are compared with the truth, against definitions spelled out."""

import math
from dataclasses import astuple
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verl_df.lab.statistics import bootstrap_interval
from verl_df.lab.weight_audit.figures import MEASURES, Agreement, agreement, auc, averages, top_hits


@st.composite
def responses(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Weights with many ties, and which tokens are wrong, at least one."""
    length = draw(st.integers(1, 8))
    weights = draw(st.lists(st.sampled_from([0.0, 0.25, 1.0, 2.0]), min_size=length, max_size=length))
    wrong = draw(st.lists(st.booleans(), min_size=length, max_size=length).filter(any))
    return np.array(weights), np.array(wrong)


@given(responses())
def test_auc_is_the_share_of_pairs_in_the_right_order(response) -> None:
    weights, wrong = response
    pairs = [(a > b) + 0.5 * (a == b) for a in weights[wrong] for b in weights[~wrong]]
    if pairs:
        assert auc(weights, wrong) == pytest.approx(np.mean(pairs))
        assert auc(np.exp(weights), wrong) == auc(weights, wrong)
        assert auc(weights, ~wrong) == pytest.approx(1 - auc(weights, wrong))
    else:
        assert math.isnan(auc(weights, wrong))


@given(responses())
def test_hits_are_expected_over_all_choices_among_equals(response) -> None:
    weights, wrong = response
    heavy = np.flatnonzero(weights)
    count = min(int(wrong.sum()), len(heavy))
    choices = [list(one) for one in combinations(heavy, count)]
    best = max(weights[one].sum() for one in choices)
    hits = [wrong[one].sum() for one in choices if weights[one].sum() == best]
    assert top_hits(weights, wrong) == (count, pytest.approx(np.mean(hits)))


@given(responses())
def test_every_figure_by_its_definition(response) -> None:
    weights, wrong = response
    found = agreement(weights, wrong, mask=None)
    chosen, hits = top_hits(weights, wrong)
    assert found.mass == pytest.approx(weights.mean())
    assert found.recall == pytest.approx(hits / wrong.sum())
    assert math.isnan(found.rank_correlation)
    if weights.sum() == 0:
        assert math.isnan(found.precision) and math.isnan(found.share) and math.isnan(found.lift)
    else:
        assert found.precision == pytest.approx(hits / chosen)
        assert found.share == pytest.approx(sum(weights[wrong]) / sum(weights))
        assert found.lift == pytest.approx(found.share / wrong.mean())


@given(responses())
def test_the_truth_is_the_best_and_equal_weights_say_nothing(response) -> None:
    _, wrong = response
    best, equal = agreement(wrong.astype(float), wrong, wrong), agreement(np.ones(len(wrong)), wrong, wrong)
    assert (best.precision, best.recall, best.share) == (1, 1, 1)
    assert (equal.lift, equal.mass) == (pytest.approx(1), 1)
    assert equal.recall == pytest.approx(wrong.mean())
    if not wrong.all():
        assert (best.auc, equal.auc, best.rank_correlation) == (1, 0.5, pytest.approx(1))


@pytest.mark.parametrize(
    ("weights", "wrong"), [([1, 2], [False, False]), ([1], [True, True]), ([-1, 1], [True, False]), ([np.nan], [True])]
)
def test_what_cannot_be_compared_is_refused(weights, wrong) -> None:
    with pytest.raises(ValueError, match="weights"):
        agreement(np.array(weights, dtype=float), np.array(wrong), None)


def test_averages_leave_out_what_is_not_defined_and_resample_prompts() -> None:
    rows = [Agreement(*[value] * len(MEASURES)) for value in (1.0, 0.0, math.nan, 0.5)]
    means = averages(rows, ["a", "a", "b", "c"], seed=3, samples=500)
    expected = bootstrap_interval([1.0, 0.0, 0.5], seed=3, samples=500, clusters=["a", "a", "c"])
    assert all(one is not None and astuple(one) == (astuple(expected), 3) for one in means.values())
    nothing = averages([Agreement(*[math.nan] * len(MEASURES))], ["a"], seed=0)
    assert nothing == dict.fromkeys(MEASURES)
