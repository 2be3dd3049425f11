# SPDX-License-Identifier: Apache-2.0
"""Figures as Markdown tables."""

from collections.abc import Sequence
from typing import Any

from verl_df.lab.markdown import markdown_table
from verl_df.lab.repair_eval.figures import MethodFigures
from verl_df.lab.statistics import Interval

TITLES = {
    "acc_at_1": "Acc@1",
    "acc_at_2": "Acc@2",
    "edit_ratio_chosen": "edit ratio, chosen",
    "edit_ratio_right": "edit ratio, right",
    "edit_ratio_all": "edit ratio, all",
    "feasible": "feasible",
    "mask_precision": "mask precision",
    "mask_recall": "mask recall",
    "mask_f1": "mask F1",
    "survival_hidden": "right without image, reference hidden",
    "survival_shown": "right without image, reference shown",
}
EXPLANATION = """\
Brackets hold 95% bootstrap intervals over prompts. Acc@1: share of samples that answer right; Acc@2: any of two.
Edit ratio: A_edit(y, ŷ) / |y| of the chosen repair (right, nearest to y), of right samples, and of all samples.
Feasible: responses with at least one repair to choose from. Masks: tokens marked by the chosen repair against the
tokens that are truly wrong. Right without image: of right answers, the share that is right again without the image.
"""


def format_value(name: str, value: float) -> str:
    """A share as a percentage, an edit ratio with three decimals."""
    return f"{value:.3f}" if name.startswith("edit_ratio") else f"{100 * value:.1f}%"


def format_interval(name: str, interval: Interval | None) -> str:
    """Estimate and bounds, a dash for None."""
    if interval is None:
        return "–"
    bounds = ", ".join(format_value(name, bound).rstrip("%") for bound in (interval.low, interval.high))
    return f"{format_value(name, interval.estimate)} [{bounds}]"


def render_report(settings: dict[str, Any], rows: Sequence[MethodFigures]) -> str:
    """The page of one evaluation: figures, rejections, settings. Columns in which nothing counts are left out."""
    names = [name for name in TITLES if any(row.figures[name] is not None for row in rows)]
    header = ["method", "reference", "responses", *(TITLES[name] for name in names)]
    body = [
        [
            row_name(row),
            row.reference_kind,
            str(row.tasks),
            *(format_interval(name, row.figures[name]) for name in names),
        ]
        for row in rows
    ]
    parts = ["# Repair evaluation\n", markdown_table(header, body), EXPLANATION, _rejections(rows)]
    settings_rows = [[key, "–" if value is None else str(value)] for key, value in settings.items()]
    parts.append("## Settings\n\n" + markdown_table(["setting", "value"], settings_rows))
    return "\n".join(parts)


def row_name(row: MethodFigures) -> str:
    """Name of a row: the method, and "greedy" where it was."""
    return f"{row.method}, greedy" if row.decoding == "greedy" else row.method


def _rejections(rows: Sequence[MethodFigures]) -> str:
    reasons = sorted({reason for row in rows for reason in row.rejections})
    body = [
        [
            row_name(row),
            row.reference_kind,
            str(row.samples),
            *(str(row.rejections.get(reason, 0)) for reason in reasons),
        ]
        for row in rows
    ]
    title = "## Samples that are no feasible repair, by reason\n\n"
    return title + markdown_table(["method", "reference", "samples", *reasons], body)
