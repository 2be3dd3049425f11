# SPDX-License-Identifier: Apache-2.0
"""The mask of another row (C2p)."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from verl_df.controls.borrowed import donors, scaled


@given(st.lists(st.sampled_from("abc"), max_size=12), st.integers(0, 100))
def test_a_donor_is_another_pair_of_another_prompt_if_there_is_one(uids, seed):
    drawn = donors(uids, np.random.default_rng(seed))
    assert drawn == donors(uids, np.random.default_rng(seed)) and len(drawn) == len(uids)
    for place, donor in enumerate(drawn):
        if donor is None:
            assert len(uids) == 1
        else:
            assert donor != place
            assert (uids[donor] == uids[place]) == (len(set(uids)) == 1)


def test_every_pair_of_another_prompt_can_be_the_donor():
    drawn = [donors(["a", "a", "b", "c"], np.random.default_rng(seed)) for seed in range(50)]
    assert {one[0] for one in drawn} == {2, 3} and {one[2] for one in drawn} == {0, 1, 3}


@given(st.lists(st.booleans(), max_size=12), st.integers(0, 40))
def test_a_scaled_gate_has_the_places_and_about_the_density_of_the_other(gate, length):
    gate = np.array(gate, dtype=np.float32)
    moved = scaled(gate, length)
    assert moved.shape == (length,) and moved.dtype == np.float32
    for place, value in enumerate(moved if len(gate) else []):
        assert value == gate[int(place / length * len(gate) + 1e-9)]
    if len(gate) and length % len(gate) == 0:
        assert moved.sum() == gate.sum() * length // len(gate)
    if length == len(gate):
        assert (moved == gate).all()
    if not len(gate):
        assert not moved.any()
