# SPDX-License-Identifier: Apache-2.0
"""Assemble the report of a run."""

from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from verl_df.lab.report.charts import missing_metrics, panel_series, phase_figures, section_figures
from verl_df.lab.report.loading import Curve, RunData, load_run
from verl_df.lab.report.pairs import DEFAULT_PAIRS, choose_pairs, show_pair
from verl_df.lab.report.panels import (
    ACCURACY_PATTERN,
    Line,
    Panel,
    run_sections,
)
from verl_df.lab.report.style import DARK, LIGHT
from verl_df.lab.report.svg import format_number
from verl_df.lab.report.tables import format_cell, object_tables
from verl_df.lab.visible import visible

TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    finalize=lambda value: visible(value) if type(value) is str else value,  # texts, and not what is markup already
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
TEMPLATES.filters |= {
    "cell": format_cell,
    "label": lambda name: str(name).replace("_", " "),
    "number": format_number,
}

MEAN_TILES = (
    ("Rollouts repaired", "df/repair_feasible_rate"),
    ("Edit ratio", "df/edit_ratio/mean"),
    ("Mask precision", "df/mask_truth/precision"),
    ("Mask recall", "df/mask_truth/recall"),
)


@dataclass(frozen=True)
class Tile:
    """One key figure at the top of the page."""

    label: str
    value: str
    note: str
    first: bool = False


def build_report(run: Path, *, n_pairs: int = DEFAULT_PAIRS) -> str:
    """The report of the run folder ``run`` as one HTML page that needs no other file and no network.

    Args:
        run: folder with ``metrics.jsonl`` and ``pairs.jsonl``; ``images/``, ``summary.json`` and ``repair_eval.json``
            are used where they are there.
        n_pairs: error/repair pairs to show at most.

    Raises:
        FileNotFoundError: an input is missing; the message says what writes it.
        ValueError: an input is malformed, or ``n_pairs`` is not positive.
    """
    data = load_run(run)
    sections = run_sections(data.curves)
    figures = [(section.title, section_figures(section, data.curves)) for section in sections]
    summary = dict(data.summary)
    title = str(summary.pop("title", f"Difference feedback: {run.resolve().name}"))
    return TEMPLATES.get_template("report.html").render(
        title=title,
        light=LIGHT,
        dark=DARK,
        tiles=[*_accuracy_tiles(data.curves), *_run_tiles(data), *_mean_tiles(data.curves)],
        summary=object_tables({key: value for key, value in summary.items() if not isinstance(value, dict)}),
        settings=object_tables({key: value for key, value in summary.items() if isinstance(value, dict)}),
        sections=[*figures, ("Cost", phase_figures(data.curves))],
        pairs=[show_pair(record, data.path) for record in choose_pairs(data.pairs, n_pairs)],
        repair_eval=object_tables(data.repair_eval),
        missing=missing_metrics(sections, data.curves),
    )


def _accuracy_tiles(curves: dict[str, Curve]) -> list[Tile]:
    """Held-out accuracy before and after, one tile per data source."""
    panel = Panel("", "", (Line(ACCURACY_PATTERN, "*", 0),))
    tiles = []
    for one in panel_series(panel, curves):
        (first_step, before), (last_step, after) = one.points[0], one.points[-1]
        name = f"Held-out accuracy, {one.label}"
        if first_step == last_step:
            tiles.append(Tile(name, f"{before:.1%}", f"step {first_step} only", first=True))
        else:
            gain = f"{(after - before) * 100:+.1f} points, step {first_step} to {last_step}"
            tiles.append(Tile(name, f"{before:.1%} → {after:.1%}", gain, first=True))
    return tiles


def _run_tiles(data: RunData) -> list[Tile]:
    steps = [step for curve in data.curves.values() for step, _ in curve]
    seconds = [value for name in ("timing_s/step", "timing_s/testing") for _, value in data.curves.get(name, ())]
    tiles = [Tile("Training steps", str(max(steps)), f"{len(data.pairs)} errors on record")]
    if seconds:
        tiles.append(Tile("Time", format_duration(sum(seconds)), "training and validation"))
    return tiles


def _mean_tiles(curves: dict[str, Curve]) -> list[Tile]:
    logged = [(label, [value for _, value in curves[name]]) for label, name in MEAN_TILES if name in curves]
    return [Tile(label, f"{sum(values) / len(values):.1%}", "mean over steps") for label, values in logged]


def format_duration(seconds: float) -> str:
    """In hours, minutes or seconds, whichever is the largest that gives at least one."""
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} s"
