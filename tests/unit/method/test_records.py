# SPDX-License-Identifier: Apache-2.0
"""Pair records: what they are made of and what they refuse; tests/unit/io/test_lines.py has their file."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from verl_df.method.records import PairRecord, TokenSide

SIDE = TokenSide((5, 6), ("a", "b"), (1, 0), (0.3333, 0.0), 0.0)
PAIR = PairRecord(3, "u", "x", (), "6", "6", "sibling", SIDE, SIDE, 1, 0.5, (0, 1), (None, "wrong"))


def test_sides_from_arrays() -> None:
    made = TokenSide.from_arrays(np.array([5, 6]), ["a", "b"], np.array([True, False]), np.float32([1 / 3, 0]), 0)
    assert made == SIDE


@pytest.mark.parametrize("field", ["tokens", "mask", "gate"])
def test_a_side_has_one_entry_per_token(field: str) -> None:
    with pytest.raises(ValueError, match=f"^{field} has 1 entries for 2 tokens$"):
        replace(SIDE, **{field: getattr(SIDE, field)[:1]})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"truth_mask": (1,)}, "truth_mask has 1 entries for 2 tokens"),
        ({"repair": None}, "repair, edit_distance and edit_ratio must be given together, or all be None"),
        ({"edit_ratio": None}, "repair, edit_distance and edit_ratio must be given together, or all be None"),
        ({"reference_kind": "sib"}, "reference_kind='sib'; did you mean 'sibling'?"),
    ],
)
def test_a_pair_is_consistent(changes: dict[str, Any], message: str) -> None:
    replace(PAIR, repair=None, edit_distance=None, edit_ratio=None, truth_mask=None)
    with pytest.raises(ValueError) as refused:
        replace(PAIR, **changes)
    assert str(refused.value) == message
