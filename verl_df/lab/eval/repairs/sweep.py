# SPDX-License-Identifier: Apache-2.0
"""The sweep over λ (table 3): accuracy and edit ratio of repair models trained with different edit penalties."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from verl_df.io.files import write_json, write_text
from verl_df.lab.eval.plots import Point, Series, point_chart
from verl_df.lab.eval.repairs.compare import difference_over_problems
from verl_df.lab.eval.repairs.figures import GroupFigure, group_figure
from verl_df.lab.eval.repairs.finished import Group, parse_group
from verl_df.lab.eval.repairs.outcomes import TITLES
from verl_df.lab.eval.repairs.report import shown
from verl_df.lab.markdown import markdown_table
from verl_df.lab.statistics import Interval, PairedDifference, rank_correlation

ROWS = ("acc_at_1", "acc_at_2", "edit_ratio_chosen", "edit_ratio_right")


def parse_point(text: str) -> tuple[float, Group]:
    """Read `LAMBDA=DIR[#METHOD][,DIR...]`. Raises: as `parse_group`, and ValueError for a λ that is no number."""
    try:
        edit_penalty = float(text.partition("=")[0])
    except ValueError as error:
        raise ValueError(f"{text!r}: write LAMBDA=DIR, for example 0.5=outputs/lambda_0.5") from error
    return edit_penalty, parse_group(text)


def write_sweep(points: Sequence[tuple[float, Group]], out: Path) -> str:
    """Write `lambda.json`, `lambda.md` and `lambda.svg` into `out`. Returns the page.

    Raises:
        ValueError: fewer than two values of λ, one of them twice, or a run without Acc@1.
    """
    points = sorted(points, key=lambda point: point[0])
    values = [value for value, _ in points]
    if len(values) < 2 or len(set(values)) < len(values):
        raise ValueError(f"give at least two different values of λ, each once (its runs after a comma); got {values}")
    figures = {name: [group_figure(group, name) for _, group in points] for name in ROWS}
    accuracy = [figure.mean for figure in figures["acc_at_1"] if figure is not None]
    ends = difference_over_problems(points[-1][1], points[0][1], "acc_at_1")
    correlation = rank_correlation(values, accuracy)
    sentence = direction(values, correlation, ends)
    page = f"# Sweep over λ\n\n{_table(values, figures)}\n{sentence}\n"
    content = {
        "lambda": values,
        "figures": {name: [figure and figure.plain() for figure in row] for name, row in figures.items()},
        "rank_correlation": None if math.isnan(correlation) else correlation,
        "ends": ends and asdict(ends),
        "sentence": sentence,
    }
    write_json(out / "lambda.json", content)
    write_text(out / "lambda.md", page)
    write_text(out / "lambda.svg", point_chart(_series(values, figures), x_label="λ", y_label="share"))
    return page


def direction(values: Sequence[float], correlation: float, ends: PairedDifference | None) -> str:
    """Whether Acc@1 falls with λ, as in table 3.

    "Falls" and "rises" ask for both: the interval of the difference of the ends on one side of 0, and a rank
    correlation of that sign.
    """
    facts = f"rank correlation of λ and Acc@1: {correlation:.2f}"
    if ends is None:
        return f"The ends have no task in common and cannot be paired; {facts}."
    change = shown("acc_at_1", Interval(ends.difference, ends.low, ends.high))
    facts += f"; Acc@1 at λ = {values[-1]:g} minus at λ = {values[0]:g}: {change}, paired over {ends.n} tasks"
    if ends.high < 0 and correlation < 0:
        return f"Acc@1 falls with λ, the paper's direction ({facts})."
    if ends.low > 0 and correlation > 0:
        return f"Acc@1 rises with λ, against the paper's direction ({facts})."
    return f"Acc@1 shows no clear direction in λ; the paper's falls ({facts})."


def _table(values: Sequence[float], figures: dict[str, list[GroupFigure | None]]) -> str:
    header = ["λ", *(f"{value:g}" for value in values)]
    rows = [
        [TITLES[name], *(shown(name, None if figure is None else figure.over_problems) for figure in row)]
        for name, row in figures.items()
        if any(figure is not None for figure in row)
    ]
    return markdown_table(header, rows) + "\nAll runs of a λ together, with the 95% bootstrap interval over prompts.\n"


def _series(values: Sequence[float], figures: dict[str, list[GroupFigure | None]]) -> list[Series]:
    series = []
    for name in ROWS[:3]:
        points = [
            Point(Interval(value, value, value), figure.over_problems)
            for value, figure in zip(values, figures[name], strict=True)
            if figure is not None
        ]
        if points:
            series.append(Series(TITLES[name], points, joined=True))
    return series
