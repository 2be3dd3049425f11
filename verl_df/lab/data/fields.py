# SPDX-License-Identifier: Apache-2.0
"""Values of a source's row by their kind: an empty one for null, a dropped row for another kind."""

import ast
from collections.abc import Mapping
from typing import Any

from verl_df.lab.data.rows import Dropped, Reason

Row = Mapping[str, Any]


def text(row: Row, key: str) -> str:
    """A text, or a number as text; "" for null. Raises: Dropped for anything else."""
    return str(_of_kind(row, key, str | int | float, "", "a text"))


def texts(row: Row, key: str) -> tuple[str, ...]:
    """A list of texts; () for null. Raises: Dropped for anything else."""
    wanted = "a list of texts"
    values = _of_kind(row, key, list, [], wanted)
    if not all(isinstance(item, str) for item in values):
        raise _other(key, values, wanted)
    return tuple(values)


def whole(row: Row, key: str) -> int:
    """A whole number, also where a table holds it as 1.0 or "1"; 0 for null. Raises: Dropped for anything else."""
    wanted = "a whole number"
    value = _of_kind(row, key, str | int | float, 0, wanted)
    if not (value.strip().isdecimal() if isinstance(value, str) else float(value).is_integer()):
        raise _other(key, value, wanted)
    return int(value)


def many(row: Row, key: str) -> list[Any]:
    """A list; [] for null. Raises: Dropped for anything else."""
    return _of_kind(row, key, list, [], "a list")


def mapping(row: Row, key: str) -> Row:
    """A struct; {} for null. Raises: Dropped for anything else."""
    return _of_kind(row, key, Mapping, {}, "a struct")


def literal_texts(key: str, source: str) -> tuple[str, ...]:
    """A list that is written as Python writes it, "['$6', '$7']". Raises: Dropped for anything else."""
    wanted = "a Python list"
    try:
        value = ast.literal_eval(source)
    except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
        raise _other(key, source, wanted) from error
    if not isinstance(value, list):
        raise _other(key, source, wanted)
    return tuple(str(item) for item in value)


def _of_kind(row: Row, key: str, kind: Any, empty: Any, wanted: str) -> Any:
    value = row.get(key)
    if value is None:
        return empty
    if not isinstance(value, kind) or isinstance(value, bool):
        raise _other(key, value, wanted)
    return value


def _other(key: str, value: Any, wanted: str) -> Dropped:
    shown = repr(value)
    return Dropped(Reason.OTHER_FORM, f"{key} is {shown if len(shown) <= 80 else f'{shown[:77]}...'}, not {wanted}")
