# SPDX-License-Identifier: Apache-2.0
"""LaTeX tables for booktabs."""

from collections.abc import Sequence

PLUS_MINUS = r"$\pm$"

_ESCAPES = str.maketrans(
    {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {sign: f"\\{sign}" for sign in "&%$#_{}"}
)


def latex_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, align: str, comment: str = "") -> str:
    """A tabular with a left-aligned first column.

    Args:
        header: titles of the columns.
        rows: cells, escaped here but for those with `PLUS_MINUS`.
        align: letter of the other columns.
        comment: a line above; empty: none.
    """
    head, *body = (f"{' & '.join(map(_escaped, line))} \\\\\n" for line in (header, *rows))
    above = f"% {comment}\n" if comment else ""
    columns = "l" + align * (len(header) - 1)
    return (
        f"{above}\\begin{{tabular}}{{{columns}}}\n\\toprule\n{head}\\midrule\n{''.join(body)}\\bottomrule\n"
        "\\end{tabular}\n"
    )


def _escaped(cell: str) -> str:
    return cell if PLUS_MINUS in cell else cell.translate(_ESCAPES)
