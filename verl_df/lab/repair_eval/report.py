# SPDX-License-Identifier: Apache-2.0
"""Turns the records of a finished evaluation into repair_eval.json, repair_eval.md and repair_eval.svg."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from verl_df.io.files import write_json, write_text
from verl_df.lab.repair_eval.figures import MethodFigures, compute_figures
from verl_df.lab.repair_eval.folder import read_evaluation
from verl_df.lab.repair_eval.plot import Point, Series, chart
from verl_df.lab.repair_eval.tables import render_report, row_name

NAME = "repair_eval"


def write_report(folder: Path) -> str:
    """Compute all figures of a finished evaluation and write them. Returns the Markdown page.

    Raises:
        FileNotFoundError, ValueError: as `read_evaluation`.
    """
    evaluation = read_evaluation(folder)
    rows = compute_figures(evaluation.outcomes())
    page = render_report(evaluation.settings, rows)
    content = {"settings": evaluation.settings, "figures": [dataclasses.asdict(row) for row in rows]}
    write_json(folder / f"{NAME}.json", content)
    write_text(folder / f"{NAME}.md", page)
    series = _series(rows)
    if series:
        write_text(folder / f"{NAME}.svg", chart(series, x_label="edit ratio of the chosen repair", y_label="Acc@1"))
    return page


def _series(rows: Sequence[MethodFigures]) -> list[Series]:
    """A point for each row that chose a repair at all."""
    kinds = {row.reference_kind for row in rows}
    series = []
    for row in rows:
        ratio, accuracy = row.figures["edit_ratio_chosen"], row.figures["acc_at_1"]
        if ratio is not None and accuracy is not None:
            label = row_name(row) if len(kinds) == 1 else f"{row_name(row)} ({row.reference_kind})"
            series.append(Series(label, [Point(ratio, accuracy)]))
    return series
