# SPDX-License-Identifier: Apache-2.0
"""What a prompt weighs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verl_df.method.weights import prompt_weights

UIDS = st.lists(st.sampled_from(["x", "y", "z", None]), max_size=20)


@given(UIDS)
def test_each_prompt_counts_the_same(uids: list[str | None]) -> None:
    weights = prompt_weights(uids)
    assert (weights.shape, weights.dtype) == ((len(uids), 1), np.float32)
    totals = [sum(float(w) for uid, w in zip(uids, weights[:, 0], strict=True) if uid == name) for name in set(uids)]
    names = [name for name in set(uids) if name is not None]
    by_name = dict(zip(set(uids), totals, strict=True))
    rows = sum(uid is not None for uid in uids)
    assert [by_name[name] for name in names] == pytest.approx([rows / max(1, len(names))] * len(names))


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 3))
def test_groups_of_one_size_are_left_alone(prompts: int, size: int, padding: int) -> None:
    uids = [f"u{prompt}" for prompt in range(prompts) for _ in range(size)] + [None] * padding
    assert (prompt_weights(uids) == 1).all()  # bit for bit: the base objective stays what it is


def test_the_example_of_the_two_readings() -> None:
    # x: an error and its repair; y: three of each. A mean over rows gives each row 1/8; Eq. 22 gives 1/4 and 1/12.
    weights = prompt_weights(["x"] * 2 + ["y"] * 6)[:, 0] / 8
    assert weights.tolist() == pytest.approx([1 / 4] * 2 + [1 / 12] * 6)
