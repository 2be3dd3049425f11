# SPDX-License-Identifier: Apache-2.0
"""Assemble the report of a run."""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from verl_df.lab.report.charts import missing_metrics, panel_series, render_phases, render_section
from verl_df.lab.report.loading import Curve, RunData, load_run
from verl_df.lab.report.pairs import DEFAULT_PAIRS, choose_pairs, render_pair
from verl_df.lab.report.panels import (
    ACCURACY_PATTERN,
    FEEDBACK,
    LEARNING,
    OPTIMISATION,
    Line,
    Panel,
    repaired_rows_section,
)
from verl_df.lab.report.style import STYLE
from verl_df.lab.report.tables import render_object

# No script, no font, no request: the page may show text that a model wrote, so the browser is told to load nothing.
SECURITY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"

MEAN_TILES = (
    ("Rollouts repaired", "df/repair_feasible_rate"),
    ("Edit ratio", "df/edit_ratio/mean"),
    ("Mask precision", "df/mask_truth/precision"),
    ("Mask recall", "df/mask_truth/recall"),
)

PAIRS_TITLE = "Errors and their repairs"
_SAMPLE = '<span class="{side}"><span class="t marked gated" style="--g:1">{text}</span></span>'
PAIRS_KEY = (
    '<p class="explain">Outlined tokens are marked by the difference mask: '
    + _SAMPLE.format(side="error", text="in the wrong response")
    + " and "
    + _SAMPLE.format(side="repair", text="in the repair")
    + ". The tint is the gate, which scales the token's advantage. "
    '<span class="wrong">Underlined</span> tokens are truly wrong, where the task knows. '
    "Hover over a token for its figures. There is one pair per stretch of the run, the one of median edit distance.</p>"
)


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
    title = str(data.summary.get("title", f"Difference feedback: {run.resolve().name}"))
    sections = (LEARNING, FEEDBACK, repaired_rows_section(data.curves), OPTIMISATION)
    body = "".join(
        (
            _header(title, data),
            *(render_section(section, data.curves) for section in sections),
            render_phases(data.curves),
            _pairs(data, n_pairs),
            _repair_eval(data.repair_eval),
            _not_logged(missing_metrics(sections, data.curves)),
        )
    )
    return _document(title, body)


def _document(title: str, body: str) -> str:
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{SECURITY}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><main>{body}</main></body></html>\n"
    )


def _header(title: str, data: RunData) -> str:
    tiles = [*_accuracy_tiles(data.curves), *_run_tiles(data), *_mean_tiles(data.curves)]
    table = _summary({key: value for key, value in data.summary.items() if key != "title"})
    return f'<header><h1>{escape(title)}</h1><div class="tiles">{"".join(tiles)}</div>{table}</header>'


def _summary(summary: dict[str, Any]) -> str:
    """The key figures of ``summary.json``; its nested parts (settings) are folded away below them."""
    if not summary:
        return ""
    nested = {key: value for key, value in summary.items() if isinstance(value, dict)}
    figures = {key: value for key, value in summary.items() if key not in nested}
    folded = f'<details class="settings"><summary>Settings</summary>{render_object(nested)}</details>' if nested else ""
    return f'<div class="panel">{render_object(figures)}{folded}</div>'


def _accuracy_tiles(curves: dict[str, Curve]) -> list[str]:
    """Held-out accuracy before and after, one tile per data source."""
    panel = Panel("", "", (Line(ACCURACY_PATTERN, "*", 0),))
    tiles = []
    for one in panel_series(panel, curves):
        (first_step, before), (last_step, after) = one.points[0], one.points[-1]
        name = f"Held-out accuracy, {one.label}"
        if first_step == last_step:
            tiles.append(_tile(name, f"{before:.1%}", f"step {first_step} only", "tile first"))
        else:
            gain = f"{(after - before) * 100:+.1f} points, step {first_step} to {last_step}"
            tiles.append(_tile(name, f"{before:.1%} → {after:.1%}", gain, "tile first"))
    return tiles


def _run_tiles(data: RunData) -> list[str]:
    steps = [step for curve in data.curves.values() for step, _ in curve]
    seconds = [value for name in ("timing_s/step", "timing_s/testing") for _, value in data.curves.get(name, ())]
    tiles = [_tile("Training steps", str(max(steps)), f"{len(data.pairs)} errors on record")]
    if seconds:
        tiles.append(_tile("Time", format_duration(sum(seconds)), "training and validation"))
    return tiles


def _mean_tiles(curves: dict[str, Curve]) -> list[str]:
    logged = [(label, [value for _, value in curves[name]]) for label, name in MEAN_TILES if name in curves]
    return [_tile(label, f"{sum(values) / len(values):.1%}", "mean over steps") for label, values in logged]


def _tile(label: str, value: str, note: str, classes: str = "tile") -> str:
    texts = f"<span>{escape(label)}</span><b>{escape(value)}</b><small>{escape(note)}</small>"
    return f'<div class="{classes}">{texts}</div>'


def format_duration(seconds: float) -> str:
    """In hours, minutes or seconds, whichever is the largest that gives at least one."""
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} s"


def _pairs(data: RunData, n_pairs: int) -> str:
    chosen = choose_pairs(data.pairs, n_pairs)
    if not chosen:
        return _section(PAIRS_TITLE, "<p>No erroneous rollout of this run got a right repair.</p>")
    return _section(PAIRS_TITLE, PAIRS_KEY + "".join(render_pair(record, data.path) for record in chosen))


def _repair_eval(value: dict[str, Any]) -> str:
    return _section("Repair model", f'<div class="panel">{render_object(value)}</div>') if value else ""


def _not_logged(missing: Sequence[tuple[str, str]]) -> str:
    if not missing:
        return ""
    items = "".join(f"<li>{escape(title)}: <code>{escape(name)}</code></li>" for title, name in missing)
    return _section("Not logged", f'<ul class="missing">{items}</ul>')


def _section(title: str, body: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{body}</section>"
