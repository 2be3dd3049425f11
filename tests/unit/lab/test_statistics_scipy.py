# SPDX-License-Identifier: Apache-2.0
"""The figures of the estimators before scipy computed them, and p-values beside scipy's permutation test."""

import json
import math
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from verl_df.lab import statistics

# Recorded from this project's own bootstrap, score interval and rank correlation.
FIGURES = json.loads(Path(__file__).with_name("statistics_figures.json").read_text())


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("case", FIGURES, ids=lambda case: case["function"])
def test_figures_are_the_recorded_ones(case):
    found = getattr(statistics, case["function"])(*case["args"], **case["options"])
    if isinstance(found, float):
        expected = math.nan if case["result"] is None else case["result"]
        assert found == pytest.approx(expected, abs=1e-12, nan_ok=True)
    else:
        assert astuple(found) == pytest.approx(astuple(type(found)(**case["result"])), abs=1e-12)


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
        assert statistics.paired_bootstrap(a, b, seed=0).p_value == pytest.approx(theirs.pvalue, abs=0.06)
