# SPDX-License-Identifier: Apache-2.0
"""How DF's extra time and memory grow with a run's sizes, against the paper's prediction, in one call.

    .venv/bin/python scripts/bench/growth.py [--axis length ...] [--steps 4] [--json FILE.json] [--plot FILE.svg]

After the quickstart: the toy's models with a learning rate of 0. From one point in the middle, each axis changes one
size:

| axis | sizes |
| --- | --- |
| length | tokens of every response and repair: nothing ends before |
| wrong | share of wrong rollouts: the judge is a coin (scripts/bench/coin.py), for repairs too |
| repairs | df.repair.n, repairs of each wrong rollout |
| group | rollouts of a prompt |
| batch | prompts of a step |

At each point stock verl's GRPO and DF-GRPO run in turn, which of them first alternates, for STEPS steps after a first
one that is not counted. Repairs are decoded plainly in a phase of their own; what drafts and streaming save is
measured by repair_decoding.py and steps.py. Printed: the median step of both in seconds; DF's extra time; what Eq. 29
predicts,
the share of wrong rollouts times df.repair.n times the first one's sampling time; and the machine's memory at its peak,
above what was in use before, in GiB.
"""

import argparse
import json
import statistics
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil
from steps import ROOT, STOCK, Steps, Variant, run

GIB = 2**30
INTERVAL = 0.1  # seconds between two looks at the memory


@dataclass(frozen=True)
class Sizes:
    """Of a run; the axes of the table above."""

    length: int = 64
    wrong: float = 0.5
    repairs: int = 2
    group: int = 8
    batch: int = 8

    def variant(self, base: Variant) -> Variant:
        """The same run with these sizes."""
        room = 4 * self.length + 512
        return replace(
            base,
            environment=(("PROMPTS", str(self.batch)), ("ROLLOUTS", str(self.group))),
            overrides=(
                *base.overrides,
                "actor_rollout_ref.rollout.ignore_eos=True",
                f"actor_rollout_ref.rollout.max_model_len={room}",
                f"data.max_response_length={self.length}",
                f"df.repair.n={self.repairs}",
                f"reward.custom_reward_function.path={ROOT / 'scripts/bench/coin.py'}",
                f"+reward.custom_reward_function.reward_kwargs.wrong={self.wrong}",
            ),
        )


AXES: dict[str, tuple[Any, ...]] = {
    "length": (32, 128),
    "wrong": (0.25, 0.75),
    "repairs": (1, 4),
    "group": (4, 16),
    "batch": (4, 16),
}
DF = Variant("DF", "df_grpo", ("df.repair.speculation=off", "df.truth.path=null"))


@dataclass
class Peak:
    """The least memory that was available while a block ran, as what the block took, in bytes."""

    taken: int = 0
    _done: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "Peak":
        self._before = psutil.virtual_memory().available
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._done.wait(INTERVAL):
            self.taken = max(self.taken, self._before - psutil.virtual_memory().available)

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()


@dataclass(frozen=True)
class Point:
    """What was measured at one place of an axis. Seconds, shares and GiB."""

    axis: str
    sizes: Sizes
    base: Steps
    df: Steps
    base_memory: float
    df_memory: float

    def row(self) -> list[float]:
        """Step of both, ratio, extra, predicted extra, extra over predicted, memory of both."""
        base, ours = statistics.median(self.base.step), statistics.median(self.df.step)
        predicted = statistics.median(self.df.wrong) * self.sizes.repairs * statistics.median(self.base.sampling)
        extra = ours - base
        return [base, ours, ours / base, extra, predicted, extra / predicted, self.base_memory, self.df_memory]


def measure(axis: str, sizes: Sizes, steps: int, df_first: bool) -> Point:
    """Both runs at one point."""
    found: dict[str, tuple[Steps, float]] = {}
    for variant in (DF, STOCK) if df_first else (STOCK, DF):
        with Peak() as peak:
            measured = run(sizes.variant(variant), steps)
        found[variant.name] = measured, peak.taken / GIB
    (base, base_memory), (ours, df_memory) = found[STOCK.name], found[DF.name]
    return Point(axis, sizes, base, ours, base_memory, df_memory)


def measure_all(axes: list[str], steps: int, tell: Callable[[Point], None]) -> list[Point]:
    """The point in the middle, and those of the axes."""
    middle = Sizes()
    places = [("middle", middle)]
    places += [(axis, replace(middle, **{axis: value})) for axis in axes for value in AXES[axis]]
    points = []
    for number, (axis, sizes) in enumerate(places):
        points.append(measure(axis, sizes, steps, df_first=number % 2 == 1))
        tell(points[-1])
    return points


def line(point: Point) -> str:
    """Of the printed table."""
    sizes = " | ".join(str(value) for value in asdict(point.sizes).values())
    return f"| {point.axis} | {sizes} | " + " | ".join(f"{value:.2f}" for value in point.row()) + " |"


def plot(points: list[Point]) -> str:
    """Extra time over predicted time along each axis, as SVG; each axis in multiples of the point in the middle."""
    from verl_df.lab.drawing import draw_svg

    middle, axes = points[0], list(dict.fromkeys(point.axis for point in points[1:]))

    def draw(canvas: Any) -> None:
        for axis in axes:
            here = sorted([middle, *(point for point in points if point.axis == axis)], key=lambda one: one.row()[4])
            unit = getattr(middle.sizes, axis)
            canvas.plot([getattr(one.sizes, axis) / unit for one in here], [one.row()[3] for one in here], marker="o")
        canvas.set(xlabel="size, in multiples of the middle", ylabel="extra seconds a step", ylim=(0, None))

    return draw_svg("DF's extra time by a run's sizes", axes, draw)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--axis", choices=AXES, nargs="*", default=list(AXES))
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    given = parser.parse_args()
    heads = (
        "axis",
        *asdict(Sizes()),
        "GRPO",
        "DF",
        "ratio",
        "extra",
        "Eq. 29",
        "extra / Eq. 29",
        "GiB, GRPO",
        "GiB, DF",
    )
    print("| " + " | ".join(heads) + " |\n|" + " --- |" * len(heads))
    points = measure_all(given.axis, given.steps, lambda point: print(line(point), flush=True))
    if given.json:
        given.json.write_text(json.dumps([asdict(point) for point in points], indent=1) + "\n")
    if given.plot:
        given.plot.write_text(plot(points))


if __name__ == "__main__":
    main()
