# SPDX-License-Identifier: Apache-2.0
"""Turn a JSON object (``summary.json``, ``repair_eval.json``) into tables, whatever its keys are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from verl_df.lab.report.svg import format_number


@dataclass(frozen=True)
class Table:
    """A heading and the table below it.

    Attributes:
        title: empty for none.
        columns: names of the columns; empty for a table of keys and values.
        rows: label and cells of each; empty for a heading only.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Any]]]

    @property
    def labelled(self) -> bool:
        return not self.columns or any(label for label, _ in self.rows)


def object_tables(value: dict[str, Any], title: str = "") -> list[Table]:
    """Scalars become a table of keys and values, a table of flat objects a matrix, the rest tables of their own."""
    scalars = {key: item for key, item in value.items() if _is_scalar(item) or _is_scalar_list(item)}
    found = [Table(title, (), [(key, [item]) for key, item in scalars.items()])] if title or scalars else []
    for key, item in value.items():
        if key in scalars:
            continue
        rows = _matrix_rows(item)
        if rows:
            columns = list(dict.fromkeys(name for _, row in rows for name in row))
            found.append(Table(key, columns, [(label, [row.get(name) for name in columns]) for label, row in rows]))
        else:
            found += object_tables(_as_object(item), key)
    return found


def format_cell(value: Any) -> str:
    """Text of one value: numbers to three digits, whole numbers whole, lists joined, null as a dash."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return format_number(value)
    if isinstance(value, list):
        return ", ".join(format_cell(item) for item in value) or "–"
    return str(value)


def _matrix_rows(value: Any) -> list[tuple[str, dict[str, Any]]]:
    """Row label and cells, where ``value`` is a list or an object of flat objects; else nothing."""
    if isinstance(value, list):
        rows = [("", item) for item in value]
    else:
        rows = list(value.items())
    flat = rows and all(isinstance(row, dict) and row and all(map(_is_scalar, row.values())) for _, row in rows)
    return rows if flat else []


def _as_object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {str(index): item for index, item in enumerate(value)}


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float | bool)


def _is_scalar_list(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_scalar, value))
