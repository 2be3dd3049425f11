# SPDX-License-Identifier: Apache-2.0
"""A chart of points with intervals as a file of its own, with a legend, for light and dark settings."""

from html import escape

from verl_df.lab.report.style import DARK, LIGHT
from verl_df.lab.report.svg import HEIGHT, LEFT

_LEGEND = 20
_LIGHT_NEUTRALS, _DARK_NEUTRALS = ("#ffffff", "#5c6675", "#e9ecf1"), ("#1b1f27", "#9aa4b3", "#272d37")


def svg_file(body: str, labels: list[str], description: str, width: int) -> str:
    """The whole file.

    Args:
        body: elements of the chart. Groups of class `c0`, `c1`, ... have the colours of the legend, lines of class
            `bar` are intervals, lines of class `grid` the grid.
        labels: of the legend, in the order of the colours.
        description: for readers that hear the page.
        width: of the chart, as in its `Frame`.
    """
    height = HEIGHT + _LEGEND * (len(labels) + 1)
    legend = "".join(_legend(label, index) for index, label in enumerate(labels))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(description, quote=True)}"><style>{_style()}</style>'
        f'<rect class="back" width="{width}" height="{height}"/>{body}{legend}</svg>\n'
    )


def _legend(label: str, index: int) -> str:
    y = HEIGHT + _LEGEND * (index + 1)
    dot = f'<circle class="c{index % len(LIGHT)}" cx="{LEFT + 5}" cy="{y}" r="4"/>'
    return f'{dot}<text x="{LEFT + 16}" y="{y + 4}">{escape(label)}</text>'


def _style() -> str:
    def colours(palette: tuple[str, ...], neutrals: tuple[str, str, str]) -> str:
        back, soft, grid = neutrals
        own = "".join(f".c{index}{{fill:{colour};stroke:{colour}}}" for index, colour in enumerate(palette))
        return f".back{{fill:{back}}}text{{fill:{soft}}}.grid{{stroke:{grid}}}{own}"

    return (
        "text{font:11.5px system-ui,sans-serif;stroke:none}.bar{stroke-width:1.2;opacity:.6}"
        "polyline{fill:none;stroke-width:2}"
        f"{colours(LIGHT, _LIGHT_NEUTRALS)}"
        f"@media(prefers-color-scheme:dark){{{colours(DARK, _DARK_NEUTRALS)}}}"
    )
