# SPDX-License-Identifier: Apache-2.0
"""Empty rows are spread over the mini-batches, on every rank."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from verl_df.method.mini_batches import count_mini_batches, spread_empty_rows


@st.composite
def layouts(draw: st.DrawFn) -> tuple[list[bool], int, int]:
    ranks, mini_batches, each = draw(st.integers(1, 4)), draw(st.integers(1, 6)), draw(st.integers(1, 4))
    size = ranks * mini_batches * each
    return draw(st.lists(st.booleans(), min_size=size, max_size=size)), ranks, mini_batches


@settings(deadline=None)
@given(layouts())
def test_every_mini_batch_gets_its_part(layout: tuple[list[bool], int, int]) -> None:
    is_empty, ranks, mini_batches = layout
    order = spread_empty_rows(is_empty, ranks, mini_batches)
    share = len(is_empty) // ranks
    each = share // mini_batches
    assert sorted(order) == list(range(len(is_empty)))
    filled = [0] * mini_batches
    for rank in range(ranks):
        mine = order[rank * share : (rank + 1) * share]
        assert {row // share for row in mine} == {rank}
        full = [row for row in mine if not is_empty[row]]
        assert full == sorted(full)
        for mini_batch in range(mini_batches):
            rows = mine[mini_batch * each : (mini_batch + 1) * each]
            filled[mini_batch] += sum(not is_empty[row] for row in rows)
    assert max(filled) - min(filled) <= 1
    if is_empty.count(False) >= mini_batches:
        assert min(filled) >= 1


@settings(deadline=None)
@given(st.integers(1, 4), st.integers(1, 6), st.integers(1, 4))
def test_a_full_batch_keeps_its_order(ranks: int, mini_batches: int, each: int) -> None:
    size = ranks * mini_batches * each
    assert spread_empty_rows([False] * size, ranks, mini_batches) == list(range(size))


def test_the_case_that_verl_leaves_with_empty_mini_batches() -> None:
    """17 rows on one rank, 16 mini-batches of two: verl's 15 empty rows come last and fill seven of them."""
    is_empty = [False] * 17 + [True] * 15
    order = spread_empty_rows(is_empty, ranks=1, mini_batches=16)
    filled = [sum(not is_empty[row] for row in order[start : start + 2]) for start in range(0, 32, 2)]
    assert sorted(filled) == [1] * 15 + [2]


@pytest.mark.parametrize("rows", [0, 7])
def test_rows_that_do_not_divide_are_refused(rows: int) -> None:
    with pytest.raises(ValueError, match=f"{rows} rows cannot be cut into 2 ranks x 2 mini-batches"):
        spread_empty_rows([False] * rows, ranks=2, mini_batches=2)


def test_no_step_without_a_row() -> None:
    assert [count_mini_batches(4, rows) for rows in (1, 3, 4, 100)] == [1, 3, 4, 4]
