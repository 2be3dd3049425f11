# SPDX-License-Identifier: Apache-2.0
"""Where a batch's rows go when it is cut into optimiser steps.

Difference feedback changes the number of rows of a batch, and verl fills it up with empty rows until it divides by
ranks and mini-batches. Left at the end, where verl appends them, the empty rows could make up whole mini-batches: a
token mean over nothing, or an optimiser step that only moves along its momentum. Here they are spread evenly.
"""

from collections.abc import Sequence


def count_mini_batches(wanted: int, rows: int) -> int:
    """Optimiser steps of a batch: as many as without difference feedback, but none without a row.

    Args:
        wanted: mini-batches of the base algorithm, at least 1.
        rows: rows of the batch that are trained on, at least 1.
    """
    return min(wanted, rows)


def spread_empty_rows(is_empty: Sequence[bool], ranks: int, mini_batches: int) -> list[int]:
    """An order of the rows in which all mini-batches have the same number of non-empty rows, give or take one.

    A rank's rows are a contiguous, equal share of the batch, and its mini-batches contiguous, equal shares of that. No
    row changes its rank, so that the load stays balanced, and the non-empty rows of a rank keep their order, so that an
    error stays near its repair.

    Args:
        is_empty: one per row of the batch; as many as ranks x mini_batches x any number.
        ranks: data-parallel ranks.
        mini_batches: optimiser steps of the batch.

    Returns:
        positions [rows], a permutation.

    Raises:
        ValueError: the rows do not divide by ranks and mini-batches.
    """
    if not is_empty or len(is_empty) % (ranks * mini_batches):
        raise ValueError(f"{len(is_empty)} rows cannot be cut into {ranks} ranks x {mini_batches} mini-batches")
    share = len(is_empty) // ranks
    order: list[int] = []
    first_with_more = 0
    for start in range(0, len(is_empty), share):
        full = [row for row in range(start, start + share) if not is_empty[row]]
        empty = [row for row in range(start, start + share) if is_empty[row]]
        each, more = divmod(len(full), mini_batches)
        for mini_batch in range(mini_batches):
            takes_more = (mini_batch - first_with_more) % mini_batches < more
            taken = each + takes_more
            order += _take(full, taken) + _take(empty, share // mini_batches - taken)
        first_with_more = (first_with_more + more) % mini_batches
    return order


def _take(rows: list[int], count: int) -> list[int]:
    taken, rows[:] = rows[:count], rows[count:]
    return taken
