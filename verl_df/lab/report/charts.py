# SPDX-License-Identifier: Apache-2.0
"""Draw panels: collect the logged curves of each, chart them with note and legend, and list what was not logged."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from html import escape

from verl_df.lab.report.loading import Curve
from verl_df.lab.report.panels import Panel, Section
from verl_df.lab.report.style import LIGHT
from verl_df.lab.report.svg import SMOOTH_FROM, Series, format_number, line_chart, stacked_bars

PALETTE_SIZE = len(LIGHT)

# verl's timers of one step that do not overlap, merged where they are the same kind of work. Validation ("testing") is
# outside verl's "step" timer, so it is no part of the bars.
PHASES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("rollout", ("timing_s/gen",)),
    ("repair and alignment", ("timing_s/df",)),
    ("reward", ("timing_s/reward",)),
    ("log-probabilities, values", ("timing_s/old_log_prob", "timing_s/ref", "timing_s/values")),
    ("advantages", ("timing_s/adv",)),
    ("update", ("timing_s/update_actor", "timing_s/update_critic")),
    ("weight sync, checkpoint", ("timing_s/update_weights", "timing_s/save_checkpoint")),
)
STEP_TIMER = "timing_s/step"


def panel_series(panel: Panel, curves: dict[str, Curve]) -> tuple[Series, ...]:
    """The curves of a panel that the run logged, globs expanded in alphabetical order."""
    found: list[Series] = []
    for line in panel.lines:
        names = sorted(name for name in curves if fnmatchcase(name, line.pattern))
        for offset, name in enumerate(names):
            label = glob_label(name, line.pattern) if line.label == "*" else line.label
            found.append(Series(label, (line.colour + offset) % PALETTE_SIZE, curves[name]))
    return tuple(found)


def glob_label(name: str, pattern: str) -> str:
    """The part of ``name`` that the first ``*`` of ``pattern`` stands for, e.g. the data source of an accuracy."""
    before, _, after = pattern.partition("*")
    rest = name.removeprefix(before)
    following = after.split("*")[0]
    return (rest.split(following)[0] if following else rest).replace("_", " ")


def missing_metrics(sections: Sequence[Section], curves: dict[str, Curve]) -> list[tuple[str, str]]:
    """(panel title, metric pattern) of each metric that the run did not log, in page order."""
    return [
        (panel.title, line.pattern)
        for section in sections
        for panel in section.panels
        for line in panel.lines
        if not any(fnmatchcase(name, line.pattern) for name in curves)
    ]


def render_section(section: Section, curves: dict[str, Curve]) -> str:
    """The section's panels that have data, or nothing."""
    figures = [render_panel(panel, series) for panel in section.panels if (series := panel_series(panel, curves))]
    return section_html(section.title, figures)


def section_html(title: str, figures: Sequence[str]) -> str:
    return f'<section><h2>{escape(title)}</h2><div class="charts">{"".join(figures)}</div></section>' if figures else ""


def render_panel(panel: Panel, series: Sequence[Series]) -> str:
    """One chart with title, note, latest values and, where there are several curves, their legend."""
    chart = line_chart(series, label=panel.title, from_zero=panel.from_zero)
    smoothed = any(len(one.points) >= SMOOTH_FROM for one in series)
    note = panel.note + (" Bold: running mean." if smoothed else "")
    return _figure(panel.title, note, legend(series, [one.points[-1][1] for one in series], "last"), chart)


def phase_series(curves: dict[str, Curve]) -> tuple[Series, ...]:
    """Seconds per step and phase, with what verl's step timer holds beyond the named phases as "other"."""
    series = [
        Series(label, colour, _sum_curves([curve for name, curve in curves.items() if _matches(name, patterns)]))
        for colour, (label, patterns) in enumerate(PHASES)
    ]
    logged = [one for one in series if one.points]
    named = dict(_sum_curves([one.points for one in logged]))
    # Timers are read one by one, so their sum can pass the step's by rounding: a bar part is never negative.
    rest = tuple((step, max(0.0, total - named.get(step, 0.0))) for step, total in curves.get(STEP_TIMER, ()))
    return (*logged, Series("other", PALETTE_SIZE - 1, rest)) if rest else tuple(logged)


def render_phases(curves: dict[str, Curve]) -> str:
    """Stacked seconds per step, or nothing where no timer was logged."""
    series = phase_series(curves)
    if not series:
        return ""
    n_steps = len({step for one in series for step, _ in one.points})
    means = [sum(value for _, value in one.points) / n_steps for one in series]
    chart = stacked_bars(series, label="Seconds per step")
    figure = _figure("Seconds per step", "By phase; validation is not included.", legend(series, means, "mean"), chart)
    return section_html("Cost", [figure.replace("<figure", '<figure class="wide"', 1)])


def legend(series: Sequence[Series], values: Sequence[float], what: str) -> str:
    """Labels with one figure each, e.g. the last value or the mean."""
    items = (
        f'<span><i class="c{one.colour}"></i>{escape(one.label)} <b>{format_number(value)}</b></span>'
        for one, value in zip(series, values, strict=True)
    )
    return f'<p class="legend"><small>{what}</small>{"".join(items)}</p>'


def _figure(title: str, note: str, key: str, chart: str) -> str:
    return f"<figure><figcaption><h3>{escape(title)}</h3><p>{escape(note)}</p></figcaption>{chart}{key}</figure>"


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _sum_curves(curves: Sequence[Curve]) -> Curve:
    totals: dict[int, float] = {}
    for curve in curves:
        for step, value in curve:
            totals[step] = totals.get(step, 0.0) + value
    return tuple(sorted(totals.items()))
