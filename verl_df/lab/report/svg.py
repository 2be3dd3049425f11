# SPDX-License-Identifier: Apache-2.0
"""Line charts and stacked bars as inline SVG text.

Hand-written because the report needs two chart kinds and must work offline: a plotting library would be a dependency of
tens of megabytes, and its SVG carries its own colours, which do not follow the reader's light or dark setting.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from verl_df.lab.report.loading import Curve

WIDTH, WIDE, HEIGHT = 560, 1160, 230
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 12, 32
MAX_MARKED_POINTS = 300
"""Above this many points a curve gets no hoverable markers: they would only bloat the file."""
SMOOTH_FROM = 25
"""Points from which a curve is also drawn smoothed."""


@dataclass(frozen=True)
class Series:
    """One labelled curve; ``colour`` is an index into the style sheet's palette."""

    label: str
    colour: int
    points: Curve


@dataclass(frozen=True)
class Frame:
    """The map from data to SVG coordinates (user units, y down) of a chart ``width`` units wide."""

    width: int
    x_min: float
    x_max: float
    y_min: float
    y_max: float

    def x(self, value: float) -> float:
        return round(LEFT + (value - self.x_min) / (self.x_max - self.x_min) * (self.width - LEFT - RIGHT), 2)

    def y(self, value: float) -> float:
        return round(TOP + (self.y_max - value) / (self.y_max - self.y_min) * (HEIGHT - TOP - BOTTOM), 2)


def format_number(value: float) -> str:
    """Three significant digits, no trailing zeros: what fits a tick or a tile."""
    if value != 0 and (abs(value) >= 1e5 or abs(value) < 1e-3):
        return f"{value:.1e}".replace("e-0", "e-").replace("e+0", "e")
    digits = max(0, 2 - math.floor(math.log10(abs(value)))) if value else 0
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def nice_ticks(low: float, high: float, count: int = 6) -> list[float]:
    """About ``count`` round numbers (1, 2 or 5 times a power of ten apart) covering [low, high]."""
    raw = (high - low) / max(1, count - 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    decimals = 2 - math.floor(math.log10(step))
    return [round(index * step, decimals) for index in range(first, last + 1)]


def format_ticks(ticks: Sequence[float]) -> list[str]:
    """As many decimals as tell neighbouring ticks apart, scientific where all are tiny or some are huge."""
    largest, step = max(map(abs, ticks)), ticks[1] - ticks[0]
    if largest >= 1e5 or largest < 1e-3:
        return [format_number(tick) for tick in ticks]
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return [f"{tick:.{decimals}f}" for tick in ticks]


def smooth(points: Curve) -> Curve:
    """Centred running mean over about a tenth of the points (an odd number, at least five)."""
    half = max(2, len(points) // 20)
    values = [value for _, value in points]
    windows = (values[max(0, i - half) : i + half + 1] for i in range(len(values)))
    return tuple((step, sum(window) / len(window)) for (step, _), window in zip(points, windows, strict=True))


def line_chart(series: Sequence[Series], *, label: str, from_zero: bool) -> str:
    """Draw curves over steps; every point has a marker with its step and value as tooltip.

    Args:
        series: at least one, each with at least one point.
        label: accessible name of the image.
        from_zero: start the value axis at 0 (shares, counts, seconds) rather than near the smallest value.
    """
    values = [value for one in series for _, value in one.points]
    steps = [step for one in series for step, _ in one.points]
    low, high = (min(0.0, *values) if from_zero else min(values)), max(values)
    if low == high:
        low, high = (low, 1.0) if low == 0 else (low - abs(low) * 0.1, high + abs(high) * 0.1)
    y_ticks = nice_ticks(low, high)
    frame = Frame(WIDTH, *_step_range(steps), y_ticks[0], y_ticks[-1])
    body = "".join(_curve(one, frame) for one in series)
    return _svg(label, frame, body, y_ticks)


def stacked_bars(series: Sequence[Series], *, label: str) -> str:
    """Draw one bar per step, the series stacked in their order; a series lacks a step where it was not logged."""
    by_step: dict[int, list[tuple[Series, float]]] = {}
    for one in series:
        for step, value in one.points:
            by_step.setdefault(step, []).append((one, value))
    high = max(sum(value for _, value in parts) for parts in by_step.values())
    y_ticks = nice_ticks(0.0, high or 1.0)
    first, last = min(by_step), max(by_step)
    frame = Frame(WIDE, first - 0.6, last + 0.6, 0.0, y_ticks[-1])
    width = max(0.5, (frame.x(1) - frame.x(0)) * 0.8)
    body = "".join(_bar(step, parts, frame, width) for step, parts in sorted(by_step.items()))
    return _svg(label, frame, body, y_ticks)


def _bar(step: int, parts: Sequence[tuple[Series, float]], frame: Frame, width: float) -> str:
    drawn, base = [], 0.0
    for one, value in parts:
        top, bottom = frame.y(base + value), frame.y(base)
        tooltip = f"step {step}: {escape(one.label)} {format_number(value)} s"
        drawn.append(
            f'<rect class="c{one.colour}" x="{frame.x(step) - width / 2:.2f}" y="{top}" width="{width:.2f}" '
            f'height="{bottom - top:.2f}"><title>{tooltip}</title></rect>'
        )
        base += value
    return "".join(drawn)


def _step_range(steps: Sequence[int]) -> tuple[float, float]:
    low, high = min(steps), max(steps)
    return (low - 0.5, high + 0.5) if low == high else (low, high)


def _curve(one: Series, frame: Frame) -> str:
    smoothed = len(one.points) >= SMOOTH_FROM
    lines = _polyline(one.points, frame, "raw" if smoothed else "main")
    if smoothed:
        lines += _polyline(smooth(one.points), frame, "main")
    if len(one.points) <= MAX_MARKED_POINTS:
        lines += "".join(_marker(one.label, point, frame, "dot faint" if smoothed else "dot") for point in one.points)
    return f'<g class="c{one.colour}">{lines}</g>'


def _polyline(points: Curve, frame: Frame, kind: str) -> str:
    coordinates = " ".join(f"{frame.x(step)},{frame.y(value)}" for step, value in points)
    return f'<polyline class="{kind}" points="{coordinates}"/>'


def _marker(label: str, point: tuple[int, float], frame: Frame, kind: str) -> str:
    step, value = point
    tooltip = f"{escape(label)}, step {step}: {format_number(value)}"
    place = f'cx="{frame.x(step)}" cy="{frame.y(value)}" r="2.6"'
    return f'<circle class="{kind}" {place}><title>{tooltip}</title></circle>'


def _axes(frame: Frame, y_ticks: Sequence[float]) -> str:
    parts = []
    labels = format_ticks(y_ticks)
    for tick, label in zip(y_ticks, labels, strict=True):
        y = frame.y(tick)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{frame.width - RIGHT}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 8}" y="{y + 4:.2f}" text-anchor="end">{label}</text>')
    for tick in _step_ticks(frame.x_min, frame.x_max):
        parts.append(f'<text class="tick" x="{frame.x(tick)}" y="{HEIGHT - 12}" text-anchor="middle">{tick}</text>')
    parts.append(f'<text class="tick" x="{LEFT - 8}" y="{HEIGHT - 12}" text-anchor="end">step</text>')
    return "".join(parts)


def _step_ticks(low: float, high: float) -> list[int]:
    spread = max(1.0, high - low)
    return sorted({int(tick) for tick in nice_ticks(low, low + spread, 7) if low <= tick <= high and tick == int(tick)})


def _svg(label: str, frame: Frame, body: str, y_ticks: Sequence[float]) -> str:
    content = _axes(frame, y_ticks) + body
    return f'<svg viewBox="0 0 {frame.width} {HEIGHT}" role="img" aria-label="{escape(label)}">{content}</svg>'
