# SPDX-License-Identifier: Apache-2.0
"""Charts as SVG files of their own, by matplotlib (the extra `plots`); the same figures give the same bytes."""

import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from verl_df.lab.report.style import LIGHT

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SETTINGS: dict[Any, Any] = {
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.size": 9,
    "grid.alpha": 0.3,
    "svg.fonttype": "none",  # texts stay texts
    "svg.hashsalt": "verl_df",  # or the names of elements are random
    "text.parse_math": False,  # a run may have a dollar sign in its name
}


def draw_svg(description: str, labels: Sequence[str], draw: Callable[["Axes"], None]) -> str:
    """One chart with its legend below.

    Args:
        description: title in the file's metadata.
        labels: of the lines in the legend.
        draw: fills the axes, a line for each label; the colours `C0`, `C1`, ... are the report's.

    Raises:
        ValueError: matplotlib is not installed.
    """
    try:
        import matplotlib
        from cycler import cycler  # matplotlib's own requirement
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ValueError("charts need matplotlib: pip install 'verl_df[plots]'") from error
    text = io.StringIO()
    with matplotlib.rc_context(_SETTINGS | {"axes.prop_cycle": cycler(color=LIGHT)}):
        figure = Figure(figsize=(7.6, 3.2 + 0.2 * len(labels)), layout="constrained")
        axes = figure.subplots()
        draw(axes)
        figure.legend(axes.lines, labels, loc="outside lower left", frameon=False)
        figure.savefig(text, format="svg", metadata={"Date": None, "Title": description})
    return text.getvalue()
