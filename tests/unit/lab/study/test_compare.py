# SPDX-License-Identifier: Apache-2.0
"""Paired comparisons of a study's arms."""

import numpy as np
import pytest
from scipy import stats

from verl_df.lab.study import compare
from verl_df.lab.study.compare import at_last_step, contrast, over_training, seeds_needed
from verl_df.lab.study.results import Result


def result(arm, seed, *curves, problems=None):
    right = {str(5 * step): "".join(map(str, map(int, bits))) for step, bits in enumerate(curves)}
    names = problems or tuple(f"p{number}" for number in range(len(curves[0])))
    return Result("toy", arm, seed, {}, (), {}, names, right, 1.0, 1.0)


def drawn(arm, probability, seeds, problems=60, rng_seed=0):
    rng = np.random.default_rng(rng_seed)
    return [result(arm, seed, np.zeros(problems), rng.random(problems) < probability) for seed in seeds]


def test_figures():
    one = result("a", 1, [1, 1, 1], [1, 0, 0], [0, 1, 0])
    assert at_last_step(one).tolist() == [0, 1, 0]
    assert over_training(one).tolist() == [0.5, 0.5, 0]  # the validation before training does not count


def test_estimate_and_test_are_those_of_the_seeds_means():
    a, b = drawn("a", 0.8, range(6)), drawn("b", 0.6, range(6), rng_seed=1)
    found = contrast(a, b, at_last_step)
    differences = [at_last_step(x).mean() - at_last_step(y).mean() for x, y in zip(a, b, strict=True)]
    assert found.difference == pytest.approx(np.mean(differences))
    assert found.p_seeds == pytest.approx(
        stats.ttest_rel(*[[at_last_step(x).mean() for x in z] for z in (a, b)]).pvalue
    )
    assert found.low < found.difference < found.high and found.seeds == 6
    turned = contrast(b, a, at_last_step)
    assert (turned.difference, turned.p_seeds) == (pytest.approx(-found.difference), pytest.approx(found.p_seeds))


def test_draws_equal_a_naive_bootstrap_over_seeds_and_problems(monkeypatch):
    monkeypatch.setattr(compare, "SAMPLES", 4000)
    rng = np.random.default_rng(3)
    pairs = rng.choice([-1.0, 0.0, 1.0], size=(4, 30), p=[0.1, 0.5, 0.4])
    fast = compare._resampled(pairs, 0)
    naive = [pairs[np.ix_(rng.integers(4, size=4), rng.integers(30, size=30))].mean() for _ in range(4000)]
    assert fast.mean() == pytest.approx(np.mean(naive), abs=0.01)
    assert fast.std() == pytest.approx(np.std(naive), rel=0.1)


def test_only_common_seeds_are_paired():
    a, b = drawn("a", 0.8, [1, 2, 3]), drawn("b", 0.6, [3, 2, 9])
    assert contrast(a, b, at_last_step).seeds == 2
    assert contrast(a[:1], b, at_last_step) is None


def test_one_seed_and_equal_differences_have_no_test_over_seeds():
    a, b = drawn("a", 0.8, [1]), drawn("b", 0.6, [1])
    assert contrast(a, b, at_last_step).p_seeds is None
    same = [result("a", seed, [1, 0], [1, 0]) for seed in (1, 2)]
    assert contrast(same, same, at_last_step).needed is None


def test_other_problems_are_refused():
    with pytest.raises(ValueError, match="a and b, seed 1: validated on other problems"):
        contrast([result("a", 1, [1])], [result("b", 1, [1], problems=("q",))], at_last_step)


def test_seeds_needed_pass_the_test_in_four_of_five_draws():
    needed = seeds_needed(0.03, 0.02)
    rng = np.random.default_rng(0)
    passed = stats.ttest_1samp(rng.normal(0.03, 0.02, size=(4000, needed)), 0, axis=1).pvalue < 0.01
    fewer = stats.ttest_1samp(rng.normal(0.03, 0.02, size=(4000, needed - 1)), 0, axis=1).pvalue < 0.01
    assert passed.mean() > 0.77 and fewer.mean() < 0.83
    assert seeds_needed(0.0, 0.02) is None
    assert seeds_needed(-0.03, 0.02) == needed
    assert seeds_needed(1e-6, 1.0) is None
