# SPDX-License-Identifier: Apache-2.0
"""The charts of evaluations, each as an SVG file of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from verl_df.lab.drawing import draw_svg
from verl_df.lab.eval.benchmarks import title
from verl_df.lab.eval.figures import Cell
from verl_df.lab.statistics import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def accuracy_chart(rows: Mapping[str, Mapping[str, Cell | None]], data: Sequence[str], interval: str) -> str:
    """Draw accuracy in percent; a data set that no row has is left out.

    Args:
        rows: cells of each run by data set.
        data: the data sets, in order.
        interval: of the whiskers, "seeds" or "problems".

    Raises:
        ValueError: there is nothing to draw, or matplotlib is not installed.
    """
    present = [name for name in data if any(row[name] is not None for row in rows.values())]
    if not present:
        raise ValueError("there is nothing to draw: no run has a data set that all its seeds were evaluated on")

    def draw(axes: "Axes") -> None:
        for index, row in enumerate(rows.values()):
            shift = 0.7 * ((index + 0.5) / len(rows) - 0.5)
            cells = [(place + shift, one) for place, key in enumerate(present) if (one := row[key]) is not None]
            places, found = [place for place, _ in cells], [_bounds(one, interval) for _, one in cells]
            axes.plot(places, [one.estimate for one in found], "o", color=f"C{index}", gid=f"points{index}")
            axes.vlines(places, [one.low for one in found], [one.high for one in found], color=f"C{index}")
        axes.set_xticks(range(len(present)), [title(name) for name in present])
        axes.set_xlim(-0.5, len(present) - 0.5)
        axes.grid(visible=False, axis="x")
        axes.set_ylabel("accuracy, %")

    return draw_svg("Accuracy by benchmark", list(rows), draw)


def _bounds(one: Cell, interval: str) -> Interval:
    """Mean and bounds in percent; a single seed has no interval and is a bare point."""
    found = one.over_seeds if interval == "seeds" else one.over_problems
    low, high = (one.mean, one.mean) if found is None else (found.low, found.high)
    return Interval(100 * one.mean, 100 * low, 100 * high)


@dataclass(frozen=True)
class Point:
    """A point with its interval in x and in y."""

    x: Interval
    y: Interval


@dataclass(frozen=True)
class Series:
    """Points of one colour; joined by a line or not."""

    label: str
    points: Sequence[Point]
    joined: bool = False


def point_chart(series: Sequence[Series], *, x_label: str, y_label: str) -> str:
    """Draw the series as an SVG file.

    Raises:
        ValueError: there is no point to draw, or matplotlib is not installed.
    """
    if not any(one.points for one in series):
        raise ValueError("there is no point to draw")

    def draw(axes: "Axes") -> None:
        for index, one in enumerate(series):
            x, y = [point.x for point in one.points], [point.y for point in one.points]
            places, heights = [value.estimate for value in x], [value.estimate for value in y]
            shape = "o-" if one.joined else "o"
            axes.plot(places, heights, shape, color=f"C{index}", gid=f"points{index}")
            axes.hlines(heights, [value.low for value in x], [value.high for value in x], color=f"C{index}", alpha=0.6)
            axes.vlines(places, [value.low for value in y], [value.high for value in y], color=f"C{index}", alpha=0.6)
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)

    return draw_svg(f"{y_label} against {x_label}", [one.label for one in series], draw)
