# SPDX-License-Identifier: Apache-2.0
"""The sweep over λ (table 3): accuracy and edit ratio of repair models trained with different edit penalties."""

import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path

from verl_df.io.files import write_text
from verl_df.lab.markdown import markdown_table
from verl_df.lab.repair_eval.compare import Group, GroupFigure, difference_over_problems, group_figure, parse_group
from verl_df.lab.repair_eval.plot import Point, Series, chart
from verl_df.lab.repair_eval.tables import TITLES, format_interval
from verl_df.lab.statistics import Interval, PairedDifference, rank_correlation

ROWS = ("acc_at_1", "acc_at_2", "edit_ratio_chosen", "edit_ratio_right")


def parse_point(text: str) -> tuple[float, Group]:
    """Read `LAMBDA=DIR[#METHOD][,DIR...]`. Raises: as `parse_group`, and ValueError for a λ that is no number."""
    value = text.partition("=")[0]
    try:
        edit_penalty = float(value)
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
        "figures": {name: [figure and _plain(figure) for figure in row] for name, row in figures.items()},
        "rank_correlation": None if math.isnan(correlation) else correlation,
        "ends": ends and dataclasses.asdict(ends),
        "sentence": sentence,
    }
    write_text(out / "lambda.json", json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    write_text(out / "lambda.md", page)
    write_text(out / "lambda.svg", chart(_series(values, figures), x_label="λ", y_label="share"))
    return page


def direction(values: Sequence[float], correlation: float, ends: PairedDifference | None) -> str:
    """Whether Acc@1 falls with λ, as in table 3.

    "Falls" and "rises" ask for both: the interval of the difference of the ends on one side of 0, and a rank
    correlation of that sign.
    """
    facts = f"rank correlation of λ and Acc@1: {correlation:.2f}"
    if ends is None:
        return f"The ends have no task in common and cannot be paired; {facts}."
    change = format_interval("acc_at_1", Interval(ends.difference, ends.low, ends.high))
    facts += f"; Acc@1 at λ = {values[-1]:g} minus at λ = {values[0]:g}: {change}, paired over {ends.n} tasks"
    if ends.high < 0 and correlation < 0:
        return f"Acc@1 falls with λ, the paper's direction ({facts})."
    if ends.low > 0 and correlation > 0:
        return f"Acc@1 rises with λ, against the paper's direction ({facts})."
    return f"Acc@1 shows no clear direction in λ; the paper's falls ({facts})."


def _table(values: Sequence[float], figures: dict[str, list[GroupFigure | None]]) -> str:
    header = ["λ", *(f"{value:g}" for value in values)]
    rows = [
        [TITLES[name], *(format_interval(name, _shown(figure)) for figure in row)]
        for name, row in figures.items()
        if any(figure is not None for figure in row)
    ]
    return markdown_table(header, rows) + "\nAll runs of a λ together, with the 95% bootstrap interval over prompts.\n"


def _shown(figure: GroupFigure | None) -> Interval | None:
    return None if figure is None else figure.over_problems


def _series(values: Sequence[float], figures: dict[str, list[GroupFigure | None]]) -> list[Series]:
    series = []
    for name in ROWS[:3]:
        shown = [(value, _shown(figure)) for value, figure in zip(values, figures[name], strict=True)]
        points = [Point(Interval(value, value, value), one) for value, one in shown if one is not None]
        if points:
            series.append(Series(TITLES[name], points, joined=True))
    return series


def _plain(figure: GroupFigure) -> dict:
    return dataclasses.asdict(figure) | {"mean": figure.mean}
