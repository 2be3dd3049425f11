# SPDX-License-Identifier: Apache-2.0
"""Line charts and stacked bars as inline SVG text.

Hand-written for the page: it works offline and without a script, follows the reader's light or dark setting, and shows
the value of each point on hovering. A plotting library's SVG carries its own colours and has no tooltips.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from verl_df.lab.report.loading import Curve

WIDTH, WIDE, HEIGHT = 560, 1160, 230
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 12, 32
MAX_MARKED_POINTS = 300
"""Above this many points a curve gets no hoverable markers: they would only bloat the file."""
SMOOTH_FROM = 25
"""Points from which a curve is also drawn smoothed."""

# Of a curve's size; two means of the same numbers, summed in another order, differ by less.
_FLAT = 1e-9
# Sizes below are zero on any axis.
_SMALLEST = 1e-100
_EMPTY = Markup()
_SVG = Markup('<svg viewBox="0 0 {width} {height}" role="img" aria-label="{label}">{content}</svg>')
_DOT = Markup('<circle class="{kind}" cx="{x}" cy="{y}" r="2.6"><title>{tooltip}</title></circle>')
_RECT = Markup('<rect class="c{colour}" {place}><title>{tooltip}</title></rect>')
_GRID = Markup('<line class="grid" x1="{left}" x2="{right}" y1="{y}" y2="{y}"/>')
_TEXT = Markup('<text class="tick" x="{x}" y="{y}" text-anchor="{anchor}">{text}</text>')


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
    if not math.isfinite(value):
        return str(value)
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


def line_chart(series: Sequence[Series], *, label: str, from_zero: bool) -> Markup:
    """Draw curves over steps; every point has a marker with its step and value as tooltip.

    Args:
        series: at least one, each with at least one point.
        label: accessible name of the image.
        from_zero: start the value axis at 0 (shares, counts, seconds) rather than near the smallest value.
    """
    values = [value for one in series for _, value in one.points]
    steps = [step for one in series for step, _ in one.points]
    low, high = (min(0.0, *values) if from_zero else min(values)), max(values)
    y_ticks = nice_ticks(*_spread(low, high))
    frame = Frame(WIDTH, *_step_range(steps), y_ticks[0], y_ticks[-1])
    body = _EMPTY.join(_curve(one, frame) for one in series)
    return _svg(label, frame, body, y_ticks)


def _spread(low: float, high: float) -> tuple[float, float]:
    """A range that an axis can show: a flat curve, up to rounding, gets some space around it."""
    size = max(abs(low), abs(high))
    if size < _SMALLEST:
        return (low, low + 1.0)
    return (low, high) if high - low > _FLAT * size else (low - size * 0.1, high + size * 0.1)


def stacked_bars(series: Sequence[Series], *, label: str) -> Markup:
    """Draw one bar per step, the series stacked in their order; a series lacks a step where it was not logged."""
    by_step: dict[int, list[tuple[Series, float]]] = {}
    for one in series:
        for step, value in one.points:
            by_step.setdefault(step, []).append((one, value))
    high = max(sum(value for _, value in parts) for parts in by_step.values())
    y_ticks = nice_ticks(*_spread(0.0, high))
    first, last = min(by_step), max(by_step)
    frame = Frame(WIDE, first - 0.6, last + 0.6, 0.0, y_ticks[-1])
    width = max(0.5, (frame.x(1) - frame.x(0)) * 0.8)
    body = _EMPTY.join(_bar(step, parts, frame, width) for step, parts in sorted(by_step.items()))
    return _svg(label, frame, body, y_ticks)


def _bar(step: int, parts: Sequence[tuple[Series, float]], frame: Frame, width: float) -> Markup:
    drawn, base = [], 0.0
    for one, value in parts:
        top, bottom = frame.y(base + value), frame.y(base)
        place = Markup('x="{:.2f}" y="{}" width="{:.2f}" height="{:.2f}"').format(
            frame.x(step) - width / 2, top, width, bottom - top
        )
        tooltip = f"step {step}: {one.label} {format_number(value)} s"
        drawn.append(_RECT.format(colour=one.colour, place=place, tooltip=tooltip))
        base += value
    return _EMPTY.join(drawn)


def _step_range(steps: Sequence[int]) -> tuple[float, float]:
    low, high = min(steps), max(steps)
    return (low - 0.5, high + 0.5) if low == high else (low, high)


def _curve(one: Series, frame: Frame) -> Markup:
    smoothed = len(one.points) >= SMOOTH_FROM
    lines = _polyline(one.points, frame, "raw" if smoothed else "main")
    if smoothed:
        lines += _polyline(smooth(one.points), frame, "main")
    if len(one.points) <= MAX_MARKED_POINTS:
        kind = "dot faint" if smoothed else "dot"
        lines += _EMPTY.join(_marker(one.label, point, frame, kind) for point in one.points)
    return Markup('<g class="c{}">{}</g>').format(one.colour, lines)


def _polyline(points: Curve, frame: Frame, kind: str) -> Markup:
    coordinates = " ".join(f"{frame.x(step)},{frame.y(value)}" for step, value in points)
    return Markup('<polyline class="{}" points="{}"/>').format(kind, coordinates)


def _marker(label: str, point: tuple[int, float], frame: Frame, kind: str) -> Markup:
    step, value = point
    tooltip = f"{label}, step {step}: {format_number(value)}"
    return _DOT.format(kind=kind, x=frame.x(step), y=frame.y(value), tooltip=tooltip)


def _axes(frame: Frame, y_ticks: Sequence[float]) -> Markup:
    parts, bottom = [], HEIGHT - 12
    for tick, label in zip(y_ticks, format_ticks(y_ticks), strict=True):
        parts.append(_GRID.format(left=LEFT, right=frame.width - RIGHT, y=frame.y(tick)))
        parts.append(_TEXT.format(x=LEFT - 8, y=f"{frame.y(tick) + 4:.2f}", anchor="end", text=label))
    for tick in _step_ticks(frame.x_min, frame.x_max):
        parts.append(_TEXT.format(x=frame.x(tick), y=bottom, anchor="middle", text=tick))
    return _EMPTY.join([*parts, _TEXT.format(x=LEFT - 8, y=bottom, anchor="end", text="step")])


def _step_ticks(low: float, high: float) -> list[int]:
    spread = max(1.0, high - low)
    return sorted({int(tick) for tick in nice_ticks(low, low + spread, 7) if low <= tick <= high and tick == int(tick)})


def _svg(label: str, frame: Frame, body: Markup, y_ticks: Sequence[float]) -> Markup:
    return _SVG.format(width=frame.width, height=HEIGHT, label=label, content=_axes(frame, y_ticks) + body)
