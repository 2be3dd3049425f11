# SPDX-License-Identifier: Apache-2.0
"""One chart of points with intervals in both directions, as a file of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from verl_df.lab.report.style import LIGHT
from verl_df.lab.report.svg import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, Frame, format_number, format_ticks, nice_ticks
from verl_df.lab.report.svg_file import svg_file
from verl_df.lab.statistics import Interval

WIDTH = 640


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
    """Draw the series as an SVG file that follows the reader's light or dark setting.

    Raises:
        ValueError: there is no point to draw.
    """
    points = [point for one in series for point in one.points]
    if not points:
        raise ValueError("there is no point to draw")
    x_ticks, y_ticks = (_ticks([getattr(point, axis) for point in points]) for axis in ("x", "y"))
    frame = Frame(WIDTH, x_ticks[0], x_ticks[-1], y_ticks[0], y_ticks[-1])
    body = _axes(frame, x_ticks, y_ticks, x_label, y_label)
    body += "".join(_series(one, index % len(LIGHT), frame) for index, one in enumerate(series))
    return svg_file(body, [one.label for one in series], f"{y_label} against {x_label}", WIDTH)


def _ticks(intervals: Sequence[Interval]) -> list[float]:
    low = min(interval.low for interval in intervals)
    high = max(interval.high for interval in intervals)
    if high - low < 1e-9:
        low, high = low - 0.05, high + 0.05
    return nice_ticks(low, high)


def _axes(frame: Frame, x_ticks: Sequence[float], y_ticks: Sequence[float], x_label: str, y_label: str) -> str:
    parts = []
    for tick, text in zip(y_ticks, format_ticks(y_ticks), strict=True):
        y = frame.y(tick)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.2f}" text-anchor="end">{text}</text>')
    for tick, text in zip(x_ticks, format_ticks(x_ticks), strict=True):
        x = frame.x(tick)
        parts.append(f'<line class="grid" x1="{x}" x2="{x}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
        parts.append(f'<text x="{x}" y="{HEIGHT - 14}" text-anchor="middle">{text}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{HEIGHT + 4}" text-anchor="middle">{escape(x_label)}</text>')
    place = f'x="{-(TOP + HEIGHT - BOTTOM) / 2}" y="11"'
    parts.append(f'<text {place} transform="rotate(-90)" text-anchor="middle">{escape(y_label)}</text>')
    return "".join(parts)


def _series(one: Series, colour: int, frame: Frame) -> str:
    parts = [_point(one.label, point, frame) for point in one.points]
    if one.joined:
        path = " ".join(f"{frame.x(point.x.estimate)},{frame.y(point.y.estimate)}" for point in one.points)
        parts.insert(0, f'<polyline points="{path}"/>')
    return f'<g class="c{colour}">{"".join(parts)}</g>'


def _point(label: str, point: Point, frame: Frame) -> str:
    x, y = frame.x(point.x.estimate), frame.y(point.y.estimate)
    tooltip = f"{escape(label)}: {format_number(point.x.estimate)}, {format_number(point.y.estimate)}"
    return (
        f'<line class="bar" x1="{frame.x(point.x.low)}" x2="{frame.x(point.x.high)}" y1="{y}" y2="{y}"/>'
        f'<line class="bar" x1="{x}" x2="{x}" y1="{frame.y(point.y.low)}" y2="{frame.y(point.y.high)}"/>'
        f'<circle cx="{x}" cy="{y}" r="4"><title>{tooltip}</title></circle>'
    )
