# SPDX-License-Identifier: Apache-2.0
"""One chart of points with intervals in both directions, as a file of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from verl_df.lab.drawing import draw_svg
from verl_df.lab.statistics import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes


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


def chart(series: Sequence[Series], *, x_label: str, y_label: str) -> str:
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
