# SPDX-License-Identifier: Apache-2.0
"""Turn a JSON object (``summary.json``, ``repair_eval.json``) into HTML tables, whatever its keys are."""

from collections.abc import Sequence
from html import escape
from typing import Any

from verl_df.lab.report.svg import format_number

Scalar = str | int | float | bool | None


def render_object(value: dict[str, Any], title: str = "") -> str:
    """Scalars become a key/value table, a table of flat objects a matrix, the rest parts of their own."""
    scalars = {key: item for key, item in value.items() if _is_scalar(item) or _is_scalar_list(item)}
    parts = [_key_values(scalars)] if scalars else []
    for key, item in value.items():
        if key in scalars:
            continue
        rows = _matrix_rows(item)
        parts.append(_heading(key) + _matrix(rows) if rows else render_object(_as_object(item), key))
    return _heading(title) + "".join(parts)


def format_cell(value: Any) -> str:
    """Escaped text of one value: numbers to three digits, whole numbers whole, lists joined, null as a dash."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return format_number(value)
    if isinstance(value, list):
        return ", ".join(format_cell(item) for item in value) or "–"
    return escape(str(value))


def _matrix_rows(value: Any) -> list[tuple[str, dict[str, Any]]]:
    """Row label and cells, where ``value`` is a list or an object of flat objects; else nothing."""
    if isinstance(value, list):
        rows = [("", item) for item in value]
    else:
        rows = list(value.items())
    flat = rows and all(isinstance(row, dict) and row and all(map(_is_scalar, row.values())) for _, row in rows)
    return rows if flat else []


def _matrix(rows: Sequence[tuple[str, dict[str, Any]]]) -> str:
    columns = list(dict.fromkeys(name for _, row in rows for name in row))
    labelled = any(label for label, _ in rows)
    head = ("<th></th>" if labelled else "") + "".join(f"<th>{_label(name)}</th>" for name in columns)
    body = "".join(
        "<tr>"
        + (f"<th>{_label(label)}</th>" if labelled else "")
        + "".join(f"<td>{format_cell(row.get(name))}</td>" for name in columns)
        + "</tr>"
        for label, row in rows
    )
    table = f'<table class="matrix"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    return f'<div class="scroll">{table}</div>'


def _key_values(items: dict[str, Any]) -> str:
    rows = "".join(f"<tr><th>{_label(key)}</th><td>{format_cell(value)}</td></tr>" for key, value in items.items())
    return f'<div class="scroll"><table class="keys"><tbody>{rows}</tbody></table></div>'


def _as_object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {str(index): item for index, item in enumerate(value)}


def _heading(title: str) -> str:
    return f"<h3>{_label(title)}</h3>" if title else ""


def _label(name: str) -> str:
    return escape(str(name).replace("_", " "))


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float | bool)


def _is_scalar_list(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_scalar, value))
