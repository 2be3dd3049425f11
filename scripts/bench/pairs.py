# SPDX-License-Identifier: Apache-2.0
"""What a pair costs beside the models, by the length of the response, in one call.

    .venv/bin/python scripts/bench/pairs.py [--tokens 256 1024 4096 8192 16384 32768] [--rounds 7] \
        [--json FILE.json] [--plot FILE.svg]

A wrong response, and CANDIDATES right samples of the repair model in which a tenth of the tokens is replaced; ids of a
vocabulary of 150,000. Medians of the rounds, in milliseconds of wall time.

| figure | what is timed |
| --- | --- |
| distance | the edit distance of one sample |
| align | the alignment of the chosen one |
| gates | both gates, soft weights |
| pair | choosing among the samples, aligning, gating: all of a pair, by `difference_feedback` |
| held | the longest time for which the event loop did nothing else: with all work in it, as before, and now |
"""

import argparse
import asyncio
import contextlib
import json
import math
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from verl_df.method import feedback  # noqa: E402
from verl_df.method.alignment import align, edit_distance  # noqa: E402
from verl_df.method.gates import GateConfig, build_gate  # noqa: E402
from verl_df.method.group import Rollout  # noqa: E402

VOCABULARY, CHANGED, CANDIDATES = 150_000, 0.1, 4
Ids = tuple[int, ...]


def responses(tokens: int) -> tuple[Ids, list[Ids]]:
    """A wrong response, and its repairs."""
    rng = random.Random(tokens)
    wrong = tuple(rng.randrange(VOCABULARY) for _ in range(tokens))
    return wrong, [
        tuple(rng.randrange(VOCABULARY) if rng.random() < CHANGED else token for token in wrong)
        for _ in range(CANDIDATES)
    ]


def models(repairs: Sequence[Ids]) -> feedback.Models:
    """A repair model that has its answer ready, and a judge that finds everything right."""

    async def repair(response: str, reference: str, seed: str) -> list[feedback.RepairSample]:
        return [feedback.RepairSample(ids, True, False) for ids in repairs]

    async def judge(ids: Sequence[int]) -> feedback.Judgement:
        return feedback.Judgement(1.0, 1.0)

    return feedback.Models(
        repair, judge, lambda ids: "", steps=lambda ids: np.zeros(len(ids)), true_errors=lambda ids: None
    )


async def one_pair(wrong: Ids, repairs: Sequence[Ids]) -> float:
    """Serve a pair. Returns: the longest time in seconds for which the loop did nothing else."""
    whole = (True,) * len(wrong)
    sampled = (Rollout("u_0_0", wrong, 0.0, whole, True), Rollout("u_1_0", repairs[-1], 1.0, whole, True))
    request = feedback.GroupRequest("u", sampled, "4", "s")
    work = asyncio.ensure_future(feedback.difference_feedback(request, feedback.FeedbackConfig(), models(repairs)))
    held, last = 0.0, time.perf_counter()
    while not work.done():
        await asyncio.sleep(0)
        now = time.perf_counter()
        held, last = max(held, now - last), now
    assert (await work).outcome.n_repaired == 1
    return held


@contextlib.contextmanager
def all_in_the_loop() -> Iterator[None]:
    """As it was before long responses were worked on in threads."""
    with mock.patch.object(feedback, "LONG_RESPONSE", math.inf):
        yield


def seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def measure(tokens: int, rounds: int) -> dict[str, float]:
    """Milliseconds by figure."""
    wrong, repairs = responses(tokens)
    aligned = align(wrong, repairs[0])

    def gates() -> None:
        for mask in (aligned.error_mask, aligned.repair_mask):
            build_gate(mask, GateConfig())

    found: dict[str, list[float]] = {}
    for _ in range(rounds):
        found.setdefault("distance", []).append(seconds(lambda: edit_distance(wrong, repairs[0])))
        found.setdefault("align", []).append(seconds(lambda: align(wrong, repairs[0])))
        found.setdefault("gates", []).append(seconds(gates))
        found.setdefault("pair", []).append(seconds(lambda: asyncio.run(one_pair(wrong, repairs))))
        with all_in_the_loop():
            found.setdefault("held before", []).append(asyncio.run(one_pair(wrong, repairs)))
        found.setdefault("held now", []).append(asyncio.run(one_pair(wrong, repairs)))
    return {name: 1000 * statistics.median(values) for name, values in found.items()}


def plot(rows: dict[int, dict[str, float]], path: Path) -> None:
    """Both axes logarithmic, so that a slope of two is quadratic growth."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 4))
    for name in next(iter(rows.values())):
        axes.loglog(list(rows), [row[name] for row in rows.values()], marker="o", label=name)
    axes.set(xlabel="tokens of a response", ylabel="ms")
    axes.legend()
    figure.savefig(path, bbox_inches="tight")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, nargs="+", default=[256, 1024, 4096, 8192, 16384, 32768])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    arguments = parser.parse_args()
    rows: dict[int, dict[str, float]] = {}
    print("| tokens | distance | align | gates | pair | held before | held now | ratio |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for tokens in arguments.tokens:
        row = rows[tokens] = measure(tokens, arguments.rounds)
        figures = " | ".join(f"{value:.2f}" for value in row.values())
        print(f"| {tokens:,} | {figures} | {row['held before'] / row['held now']:.1f} |", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")
    if arguments.plot:
        plot(rows, arguments.plot)


if __name__ == "__main__":
    main()
