# SPDX-License-Identifier: Apache-2.0
"""Charts of panels: the logged curves of each with note and legend, and the list of what was not logged."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from markupsafe import Markup

from verl_df.lab.report.loading import Curve
from verl_df.lab.report.panels import Panel, Section
from verl_df.lab.report.style import LIGHT
from verl_df.lab.report.svg import SMOOTH_FROM, Series, line_chart, stacked_bars
from verl_df.lab.visible import visible

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


@dataclass(frozen=True)
class Figure:
    """A chart with what stands around it.

    Attributes:
        legend: the curves with one value each; `what` says which, e.g. the last.
        wide: over the whole width of the page.
    """

    title: str
    note: str
    chart: Markup
    what: str
    legend: Sequence[tuple[Series, float]]
    wide: bool = False


def panel_series(panel: Panel, curves: dict[str, Curve]) -> tuple[Series, ...]:
    """The curves of a panel that the run logged, globs expanded in alphabetical order."""
    found: list[Series] = []
    for line in panel.lines:
        names = sorted(name for name in curves if fnmatchcase(name, line.pattern))
        for offset, name in enumerate(names):
            label = visible(glob_label(name, line.pattern)) if line.label == "*" else line.label
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


def section_figures(section: Section, curves: dict[str, Curve]) -> list[Figure]:
    """A figure for each panel of the section that has data."""
    found = [(panel, panel_series(panel, curves)) for panel in section.panels]
    return [panel_figure(panel, series) for panel, series in found if series]


def panel_figure(panel: Panel, series: Sequence[Series]) -> Figure:
    """One chart with title, note and latest values."""
    chart = line_chart(series, label=panel.title, from_zero=panel.from_zero)
    smoothed = any(len(one.points) >= SMOOTH_FROM for one in series)
    note = panel.note + (" Bold: running mean." if smoothed else "")
    return Figure(panel.title, note, chart, "last", [(one, one.points[-1][1]) for one in series])


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


def phase_figures(curves: dict[str, Curve]) -> list[Figure]:
    """Stacked seconds per step; nothing where no timer was logged."""
    series = phase_series(curves)
    if not series:
        return []
    n_steps = len({step for one in series for step, _ in one.points})
    means = [(one, sum(value for _, value in one.points) / n_steps) for one in series]
    title = "Seconds per step"
    chart = stacked_bars(series, label=title)
    return [Figure(title, "By phase; validation is not included.", chart, "mean", means, wide=True)]


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _sum_curves(curves: Sequence[Curve]) -> Curve:
    totals: dict[int, float] = {}
    for curve in curves:
        for step, value in curve:
            totals[step] = totals.get(step, 0.0) + max(0.0, value)  # a clock that was set back
    return tuple(sorted(totals.items()))
