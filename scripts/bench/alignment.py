# SPDX-License-Identifier: Apache-2.0
"""How long an edit distance and an alignment take, on token ids as they are and on ids renumbered first, in one call.

    .venv/bin/python scripts/bench/alignment.py [--tokens 1500] [--rounds 30]

"before" numbers the distinct ids 0, 1, ... ahead of the engine, as this project did. In each pair a tenth of the
tokens is replaced. Ids are of a vocabulary of 150,000: with frequencies as in a text (the n-th most frequent 1/n), and
all equally likely, the worst case for the engine's tables of large ids. Each figure is the median of the rounds, in
milliseconds, the two variants in turn.
"""

import argparse
import functools
import operator
import random
import statistics
import sys
import time
from array import array
from collections.abc import Callable, Sequence
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from verl_df.method import alignment  # noqa: E402

VOCABULARY, CHANGED = 150_000, 0.1
AS_THEY_ARE = alignment._ids


class Renumbered:
    """The ids of one pair as 0, 1, ...; to stand in for `alignment._ids`, which is called for y, then for ŷ."""

    def __init__(self) -> None:
        self.codes: dict[int, int] = {}
        self.calls = 0

    def __call__(self, tokens: Sequence[int]) -> list[int]:
        if self.calls % 2 == 0:
            self.codes = {}
        self.calls += 1
        return [self.codes.setdefault(operator.index(token), len(self.codes)) for token in tokens]


def milliseconds(call: Callable[[], object], ids: Callable[[Sequence[int]], array | list[int]]) -> float:
    with mock.patch.object(alignment, "_ids", ids):
        start = time.perf_counter()
        call()
        return 1000 * (time.perf_counter() - start)


def textual(source: random.Random) -> int:
    """A token id with the frequencies of a text; common ids lie anywhere in the vocabulary, as in a tokenizer's."""
    return int(source.paretovariate(1)) * 7919 % VOCABULARY


def uniform(source: random.Random) -> int:
    return source.randrange(VOCABULARY)


def measure(draw: Callable[[random.Random], int], tokens: int, rounds: int) -> None:
    """Print the figures of one kind of ids."""
    source = random.Random(0)
    y = [draw(source) for _ in range(tokens)]
    y_hat = [draw(source) if source.random() < CHANGED else token for token in y]
    for function in (alignment.edit_distance, alignment.align):
        call = functools.partial(function, y, y_hat)
        pairs = [(milliseconds(call, Renumbered()), milliseconds(call, AS_THEY_ARE)) for _ in range(rounds)]
        before, after = (statistics.median(column) for column in zip(*pairs, strict=True))
        figures = f"before {before:.3f} ms, after {after:.3f} ms, ratio {before / after:.2f}"
        print(f"{function.__name__}, {draw.__name__} ids: {figures}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=1500)
    parser.add_argument("--rounds", type=int, default=30)
    arguments = parser.parse_args()
    for draw in (textual, uniform):
        measure(draw, arguments.tokens, arguments.rounds)


if __name__ == "__main__":
    main()
