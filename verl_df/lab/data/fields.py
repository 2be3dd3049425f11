# SPDX-License-Identifier: Apache-2.0
"""Values of a source's row by their kind: an empty one for null, a dropped row for another kind."""

import ast
from collections.abc import Mapping
from typing import Any

from verl_df.lab.data.rows import Dropped, Reason

Row = Mapping[str, Any]


def text(row: Row, key: str) -> str:
    """A text, or a number as text; "" for null. Raises: Dropped for anything else."""
    value = row.get(key)
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise _other(key, value, "a text")


def texts(row: Row, key: str) -> tuple[str, ...]:
    """A list of texts; () for null. Raises: Dropped for anything else."""
    value = row.get(key)
    if value is None:
        return ()
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    raise _other(key, value, "a list of texts")


def whole(row: Row, key: str) -> int:
    """A whole number, also where a table holds it as 1.0 or "1"; 0 for null. Raises: Dropped for anything else."""
    value = row.get(key)
    if value is None:
        return 0
    if isinstance(value, str) and value.strip().isdecimal():
        return int(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and float(value).is_integer():
        return int(value)
    raise _other(key, value, "a whole number")


def literal_texts(key: str, source: str) -> tuple[str, ...]:
    """A list that is written as Python writes it, "['$6', '$7']". Raises: Dropped for anything else."""
    try:
        value = ast.literal_eval(source)
    except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
        raise _other(key, source, "a Python list") from error
    if not isinstance(value, list):
        raise _other(key, source, "a Python list")
    return tuple(str(item) for item in value)


def many(row: Row, key: str) -> list[Any]:
    """A list; [] for null. Raises: Dropped for anything else."""
    value = row.get(key)
    if value is None:
        return []
    if isinstance(value, list):
        return value
    raise _other(key, value, "a list")


def mapping(row: Row, key: str) -> Row:
    """A struct; {} for null. Raises: Dropped for anything else."""
    value = row.get(key)
    if value is None:
        return {}
    if isinstance(value, Mapping):
        return value
    raise _other(key, value, "a struct")


def _other(key: str, value: Any, wanted: str) -> Dropped:
    shown = repr(value)
    return Dropped(Reason.OTHER_FORM, f"{key} is {shown if len(shown) <= 80 else f'{shown[:77]}...'}, not {wanted}")
