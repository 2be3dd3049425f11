# SPDX-License-Identifier: Apache-2.0
"""Runs side by side on each benchmark, a point with its interval each, as an SVG file of its own."""

from collections.abc import Mapping, Sequence
from html import escape

from verl_df.lab.evaluation.benchmarks import title
from verl_df.lab.evaluation.figures import Cell
from verl_df.lab.report.style import LIGHT
from verl_df.lab.report.svg import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, Frame, format_ticks, nice_ticks
from verl_df.lab.report.svg_file import svg_file
from verl_df.lab.statistics import Interval

WIDTH = 760


def chart(rows: Mapping[str, Mapping[str, Cell | None]], data: Sequence[str], interval: str) -> str:
    """Draw accuracy in percent; a data set that no row has is left out.

    Args:
        rows: cells of each run by data set.
        data: the data sets, in order.
        interval: of the whiskers, "seeds" or "problems".

    Raises:
        ValueError: there is nothing to draw.
    """
    present = [name for name in data if any(row[name] is not None for row in rows.values())]
    if not present:
        raise ValueError("there is nothing to draw: no run has a data set that all its seeds were evaluated on")
    bounds = [_bounds(one, interval) for row in rows.values() for one in row.values() if one is not None]
    low, high = min(one.low for one in bounds), max(one.high for one in bounds)
    ticks = nice_ticks(low, high) if high - low > 1e-9 else nice_ticks(low - 1, high + 1)
    frame = Frame(WIDTH, -0.5, len(present) - 0.5, ticks[0], ticks[-1])
    body = _axes(frame, ticks, present)
    for index, (name, row) in enumerate(rows.items()):
        body += _run(name, row, present, index, len(rows), frame, interval)
    return svg_file(body, list(rows), "Accuracy by benchmark", WIDTH)


def _bounds(one: Cell, interval: str) -> Interval:
    """Mean and bounds in percent; a single seed has no interval and is a bare point."""
    found = one.over_seeds if interval == "seeds" else one.over_problems
    low, high = (one.mean, one.mean) if found is None else (found.low, found.high)
    return Interval(100 * one.mean, 100 * low, 100 * high)


def _axes(frame: Frame, ticks: Sequence[float], data: Sequence[str]) -> str:
    parts = []
    for tick, text in zip(ticks, format_ticks(ticks), strict=True):
        y = frame.y(tick)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.2f}" text-anchor="end">{text}</text>')
    for index, name in enumerate(data):
        parts.append(f'<text x="{frame.x(index)}" y="{HEIGHT - 12}" text-anchor="middle">{escape(title(name))}</text>')
    place = f'x="{-(TOP + HEIGHT - BOTTOM) / 2}" y="11"'
    parts.append(f'<text {place} transform="rotate(-90)" text-anchor="middle">accuracy, %</text>')
    return "".join(parts)


def _run(
    name: str,
    row: Mapping[str, Cell | None],
    data: Sequence[str],
    index: int,
    count: int,
    frame: Frame,
    interval: str,
) -> str:
    parts = []
    for place, one in ((place, row[key]) for place, key in enumerate(data)):
        if one is None:
            continue
        x, found = frame.x(place + 0.7 * ((index + 0.5) / count - 0.5)), _bounds(one, interval)
        tooltip = f"{escape(name)}: {found.estimate:.1f} [{found.low:.1f}, {found.high:.1f}]"
        parts.append(
            f'<line class="bar" x1="{x}" x2="{x}" y1="{frame.y(found.low)}" y2="{frame.y(found.high)}"/>'
            f'<circle cx="{x}" cy="{frame.y(found.estimate)}" r="4"><title>{tooltip}</title></circle>'
        )
    return f'<g class="c{index % len(LIGHT)}">{"".join(parts)}</g>'
