# SPDX-License-Identifier: Apache-2.0
"""Runs as a table in the paper's layout: Markdown, LaTeX and JSON."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from verl_df.io.files import write_json, write_text
from verl_df.lab.evaluation.benchmarks import columns, title
from verl_df.lab.evaluation.figures import Cell, Run, cell, ks
from verl_df.lab.evaluation.plot import chart
from verl_df.lab.markdown import markdown_table
from verl_df.lab.statistics import Interval

Row = Mapping[str, Cell | None]
_LATEX = str.maketrans(
    {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {sign: f"\\{sign}" for sign in "&%$#_{}"}
)


def write_table(runs: Sequence[Run], out: Path, interval: str) -> str:
    """Write `table.md`, `table.tex`, `table.json` and `table.svg` into `out`. Returns the Markdown page.

    Args:
        runs: a row each.
        out: folder; files of an earlier call are replaced.
        interval: what ± is: "seeds", as in the paper, or "problems".

    Raises:
        ValueError: two rows of one name.
    """
    names = [run.name for run in runs]
    if len(set(names)) < len(names):
        raise ValueError(f"two rows have the same name: {', '.join(names)}")
    data = columns(name for run in runs for replicate in run.replicates for name in replicate.scores)
    tables = {k: {run.name: {name: cell(run, name, k) for name in data} for run in runs} for k in (1, *ks(runs))}
    page = "# Evaluation\n\n" + "\n".join(
        f"{_heading(k)}{_markdown(rows, data, interval)}" for k, rows in tables.items()
    )
    page += "\n" + explanation(runs, interval)
    latex = "\n".join(_latex(rows, data, interval, k) for k, rows in tables.items())
    write_text(out / "table.md", page)
    write_text(out / "table.tex", latex)
    write_json(out / "table.json", _content(runs, tables, interval))
    write_text(out / "table.svg", chart(tables[1], data, interval))
    return page


def shown(one: Cell, interval: str) -> Interval | None:
    """The interval of a cell that stands behind ±."""
    return one.over_seeds if interval == "seeds" else one.over_problems


def half_width(interval: Interval) -> float:
    """Half of an interval's width, which ± shows; the bounds themselves are in the JSON."""
    return (interval.high - interval.low) / 2


def explanation(runs: Sequence[Run], interval: str) -> str:
    """What the numbers mean, for below the table."""
    seeds = ", ".join(f"{run.name} {len(run.replicates)}" for run in runs)
    over = (
        "over the seeds' means (with few seeds too narrow)"
        if interval == "seeds"
        else "over problems, each problem's mean over the seeds"
    )
    return (
        f"Accuracy in percent, mean over seeds ({seeds}) ± half of the 95% bootstrap interval {over}. Seeds are "
        "training seeds where a row has several folders, else sampling seeds. No ± with a single seed; an empty cell "
        "was not evaluated.\n"
    )


def _heading(k: int) -> str:
    return "" if k == 1 else f"## pass@{k}\n\n"


def _markdown(rows: Mapping[str, Row], data: Sequence[str], interval: str) -> str:
    body = [[name, *(_text(row[one], interval, " ± ") for one in data)] for name, row in rows.items()]
    return markdown_table(["Model", *map(title, data)], body)


def _latex(rows: Mapping[str, Row], data: Sequence[str], interval: str, k: int) -> str:
    caption = "" if k == 1 else f"% pass@{k}\n"
    lines = [["Model", *map(title, data)]]
    lines += [[name, *(_text(row[one], interval, r"$\pm$") for one in data)] for name, row in rows.items()]
    escaped = [" & ".join(text if r"$\pm$" in text else text.translate(_LATEX) for text in line) for line in lines]
    head, *body = (f"{line} \\\\\n" for line in escaped)
    columns_of = "l" + "c" * len(data)
    rules = (r"\toprule", r"\midrule", r"\bottomrule")
    return (
        f"{caption}\\begin{{tabular}}{{{columns_of}}}\n{rules[0]}\n{head}{rules[1]}\n{''.join(body)}{rules[2]}\n"
        "\\end{tabular}\n"
    )


def _text(one: Cell | None, interval: str, plus_minus: str) -> str:
    if one is None:
        return ""
    found = shown(one, interval)
    mean = f"{100 * one.mean:.1f}"
    return mean if found is None else f"{mean}{plus_minus}{100 * half_width(found):.1f}"


def _content(runs: Sequence[Run], tables: Mapping[int, Mapping[str, Row]], interval: str) -> dict[str, Any]:
    return {
        "interval": interval,
        "replicates": {run.name: [replicate.name for replicate in run.replicates] for run in runs},
        "figures": {
            "accuracy" if k == 1 else f"pass@{k}": {name: _plain(row) for name, row in rows.items()}
            for k, rows in tables.items()
        },
    }


def _plain(row: Row) -> dict[str, Any]:
    return {name: None if one is None else dataclasses.asdict(one) | {"mean": one.mean} for name, one in row.items()}
