# SPDX-License-Identifier: Apache-2.0
"""Draw docs/toy_curve.svg from the first table of docs/results.md: `.venv/bin/python scripts/toy_curve.py [FILE]`."""

import re
import sys
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

DOCS = Path(__file__).resolve().parents[1] / "docs"
COLOURS = {"DF-GRPO": "#c2410c", "stock verl GRPO": "#475569"}


def rows() -> dict[str, list[str]]:
    """The cells of the table by the name of the row."""
    table = (DOCS / "results.md").read_text(encoding="utf-8").split("| step |")[1].split("\n\n")[0]
    cells = [[cell.strip() for cell in line.split("|")] for line in f"| step |{table}".splitlines()]
    return {row[1]: row[2:-1] for row in cells}


def draw(out: Path) -> None:
    """Write the curve: means as lines, each seed's last figure as a dot; the same bytes every time."""
    table = rows()
    figure = Figure(figsize=(6.4, 3.2), layout="constrained")
    axes = figure.add_subplot(xlabel="training step", ylabel="greedy accuracy, %", ylim=(40, 100))
    steps = [int(cell) for cell in table["step"][:-1]]
    for name, colour in COLOURS.items():
        *means, seeds = (list(map(float, re.findall(r"[\d.]+", cell))) for cell in table[name])
        axes.plot(steps, [mean for (mean,) in means], color=colour, marker="o", markersize=4, label=f"{name}, mean")
        axes.scatter([steps[-1] + 0.4] * len(seeds), seeds, color=colour, s=12, alpha=0.6, label="its seeds")
    axes.set_xticks(steps)
    axes.grid(axis="y", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper left", ncols=2, frameon=False, fontsize="small")
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "verl_df"}):
        figure.savefig(out, metadata={"Date": None, "Creator": None})


if __name__ == "__main__":
    draw(Path(sys.argv[1]) if len(sys.argv) > 1 else DOCS / "toy_curve.svg")
