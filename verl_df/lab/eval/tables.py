# SPDX-License-Identifier: Apache-2.0
"""Runs as a table in the paper's layout: Markdown, LaTeX and JSON."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from verl_df.io.files import write_json, write_text
from verl_df.lab.command_line import check_unique
from verl_df.lab.eval.benchmarks import title
from verl_df.lab.eval.figures import Cell, Run, cell, data_of, figure_name, ks
from verl_df.lab.eval.plots import accuracy_chart
from verl_df.lab.latex import PLUS_MINUS, latex_table
from verl_df.lab.markdown import markdown_table

Rows = Mapping[str, Mapping[str, Cell | None]]
_OVER = {
    "seeds": "over the seeds' means (with few seeds too narrow)",
    "problems": "over problems, each problem's mean over the seeds",
}


def write_table(runs: Sequence[Run], out: Path, interval: str) -> str:
    """Write `table.md`, `table.tex`, `table.json` and `table.svg` into `out`. Returns the Markdown page.

    Args:
        runs: a row each.
        out: folder; files of an earlier call are replaced.
        interval: what ± is: "seeds", as in the paper, or "problems".

    Raises:
        ValueError: two rows of one name.
    """
    check_unique("rows", [run.name for run in runs])
    data = data_of(runs)
    tables = {k: {run.name: {name: cell(run, name, k) for name in data} for run in runs} for k in (1, *ks(runs))}
    page = "# Evaluation\n\n" + "\n".join(
        f"{'' if k == 1 else f'## {figure_name(k)}' + chr(10) * 2}{_markdown(rows, data, interval)}"
        for k, rows in tables.items()
    )
    page += "\n" + _explanation(runs, interval)
    write_text(out / "table.md", page)
    write_text(out / "table.tex", "\n".join(_latex(rows, data, interval, k) for k, rows in tables.items()))
    figures = {
        figure_name(k): {name: {one: own and own.plain() for one, own in row.items()} for name, row in rows.items()}
        for k, rows in tables.items()
    }
    replicates = {run.name: list(run.replicates) for run in runs}
    write_json(out / "table.json", {"interval": interval, "replicates": replicates, "figures": figures})
    write_text(out / "table.svg", accuracy_chart(tables[1], data, interval))
    return page


def _explanation(runs: Sequence[Run], interval: str) -> str:
    """What the numbers mean, for below the table."""
    seeds = ", ".join(f"{run.name} {len(run.replicates)}" for run in runs)
    return (
        f"Accuracy in percent, mean over seeds ({seeds}) ± half of the 95% bootstrap interval {_OVER[interval]}. Seeds "
        "are training seeds where a row has several folders, else sampling seeds. No ± with a single seed; an empty "
        "cell was not evaluated.\n"
    )


def _markdown(rows: Rows, data: Sequence[str], interval: str) -> str:
    body = [[name, *(_text(row[one], interval, " ± ") for one in data)] for name, row in rows.items()]
    return markdown_table(["Model", *map(title, data)], body)


def _latex(rows: Rows, data: Sequence[str], interval: str, k: int) -> str:
    lines = [[name, *(_text(row[one], interval, PLUS_MINUS) for one in data)] for name, row in rows.items()]
    comment = "" if k == 1 else figure_name(k)
    return latex_table(["Model", *map(title, data)], lines, align="c", comment=comment)


def _text(one: Cell | None, interval: str, plus_minus: str) -> str:
    """± shows half of an interval's width; the bounds themselves are in the JSON."""
    if one is None:
        return ""
    found = one.over_seeds if interval == "seeds" else one.over_problems
    mean = f"{100 * one.mean:.1f}"
    return mean if found is None else f"{mean}{plus_minus}{100 * ((found.high - found.low) / 2):.1f}"
