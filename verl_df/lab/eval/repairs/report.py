# SPDX-License-Identifier: Apache-2.0
"""Turns the records of a finished evaluation into repair_eval.json, repair_eval.md and repair_eval.svg."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from verl_df.io.files import write_json, write_text
from verl_df.lab.eval.intervals import format_interval, format_value
from verl_df.lab.eval.plots import Point, Series, point_chart
from verl_df.lab.eval.repairs.figures import MethodFigures, compute_figures
from verl_df.lab.eval.repairs.finished import read_evaluation
from verl_df.lab.eval.repairs.outcomes import TITLES
from verl_df.lab.markdown import markdown_table
from verl_df.lab.statistics import Interval

NAME = "repair_eval"
EXPLANATION = """\
Brackets hold 95% bootstrap intervals over prompts. Acc@1: share of samples that answer right; Acc@2: any of two.
Edit ratio: A_edit(y, ŷ) / |y| of the chosen repair (right, nearest to y), of right samples, and of all samples.
Feasible: responses with at least one repair to choose from. Masks: tokens marked by the chosen repair against the
tokens that are truly wrong. Right without image: of right answers, the share that is right again without the image.
"""


def shown_value(name: str, value: float) -> str:
    """A figure's value: a share as a percentage, an edit ratio with three decimals."""
    return format_value(value, ratio=name.startswith("edit_ratio"))


def shown(name: str, interval: Interval | None) -> str:
    """A figure's estimate and bounds, a dash for None."""
    return format_interval(interval, ratio=name.startswith("edit_ratio"))


def write_report(folder: Path) -> str:
    """Compute all figures of a finished evaluation and write them. Returns the Markdown page.

    Raises:
        FileNotFoundError, ValueError: as `read_evaluation`.
    """
    evaluation = read_evaluation(folder)
    rows = compute_figures(evaluation.outcomes())
    page = render_report(evaluation.settings, rows)
    content = {"settings": evaluation.settings, "figures": [asdict(row) for row in rows]}
    write_json(folder / f"{NAME}.json", content)
    write_text(folder / f"{NAME}.md", page)
    series = _series(rows)
    if series:
        chart = point_chart(series, x_label="edit ratio of the chosen repair", y_label="Acc@1")
        write_text(folder / f"{NAME}.svg", chart)
    return page


def render_report(settings: dict[str, Any], rows: Sequence[MethodFigures]) -> str:
    """The page of one evaluation: figures, rejections, settings. Columns in which nothing counts are left out."""
    names = [name for name in TITLES if any(row.figures[name] is not None for row in rows)]
    reasons = sorted({reason for row in rows for reason in row.rejections})
    heads = [[_name(row), row.reference_kind] for row in rows]
    figures = [[str(row.tasks), *(shown(name, row.figures[name]) for name in names)] for row in rows]
    rejected = [[str(row.samples), *(str(row.rejections.get(reason, 0)) for reason in reasons)] for row in rows]
    titles = [TITLES[name] for name in names]
    given = [[key, "–" if value is None else str(value)] for key, value in settings.items()]
    parts = [
        "# Repair evaluation\n",
        markdown_table(["method", "reference", "responses", *titles], _joined(heads, figures)),
        EXPLANATION,
        "## Samples that are no feasible repair, by reason\n",
        markdown_table(["method", "reference", "samples", *reasons], _joined(heads, rejected)),
        "## Settings\n",
        markdown_table(["setting", "value"], given),
    ]
    return "\n".join(parts)


def _joined(heads: Sequence[list[str]], tails: Sequence[list[str]]) -> list[list[str]]:
    return [head + tail for head, tail in zip(heads, tails, strict=True)]


def _name(row: MethodFigures) -> str:
    """Name of a row: the method, and "greedy" where it was."""
    return f"{row.method}, greedy" if row.decoding == "greedy" else row.method


def _series(rows: Sequence[MethodFigures]) -> list[Series]:
    """A point for each row that chose a repair at all."""
    kinds = {row.reference_kind for row in rows}
    series = []
    for row in rows:
        ratio, accuracy = row.figures["edit_ratio_chosen"], row.figures["acc_at_1"]
        if ratio is not None and accuracy is not None:
            label = _name(row) if len(kinds) == 1 else f"{_name(row)} ({row.reference_kind})"
            series.append(Series(label, [Point(ratio, accuracy)]))
    return series
