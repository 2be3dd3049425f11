# SPDX-License-Identifier: Apache-2.0
"""Values of a source's row by their kind: an empty one for a missing value, a dropped row for another kind."""

import ast
import math
import re
from collections.abc import Mapping
from typing import Any

from verl_df.lab.data.rows import Dropped
from verl_df.rows.columns import unencodable
from verl_df.rows.faults import Reason

Row = Mapping[str, Any]


def is_missing(value: Any) -> bool:
    """Null, or NaN, as pandas and `json.dumps` write an empty cell."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def text(row: Row, key: str) -> str:
    """A text, or a finite number as text; "" for a missing one. Raises: Dropped for anything else."""
    value = _of_kind(row, key, str | int | float, "", "a text")
    if isinstance(value, float) and math.isinf(value):
        raise _other(key, value, "a text")
    return _utf8(key, str(value))


def texts(row: Row, key: str) -> tuple[str, ...]:
    """A list of texts; () for a missing one. Raises: Dropped for anything else."""
    wanted = "a list of texts"
    values = _of_kind(row, key, list, [], wanted)
    if not all(isinstance(item, str) for item in values):
        raise _other(key, values, wanted)
    return tuple(_utf8(key, value) for value in values)


def whole(row: Row, key: str) -> int:
    """A whole number, also where a table holds it as 1.0 or "1"; 0 for a missing one.

    Raises: Dropped for anything else.
    """
    wanted = "a whole number"
    value = _of_kind(row, key, str | int | float, 0, wanted)
    if isinstance(value, str):
        value = int(value) if re.fullmatch(r"\s*\d{1,18}\s*", value) else None
    elif isinstance(value, float):
        value = int(value) if value.is_integer() else None
    if value is None or abs(value) >= 1 << 63:  # parquet's largest
        raise _other(key, row[key], wanted)
    return value


def many(row: Row, key: str) -> list[Any]:
    """A list; [] for a missing one. Raises: Dropped for anything else."""
    return _of_kind(row, key, list, [], "a list")


def mapping(row: Row, key: str) -> Row:
    """A struct; {} for a missing one. Raises: Dropped for anything else."""
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
    return tuple(_utf8(key, str(item)) for item in value)


def _of_kind(row: Row, key: str, kind: Any, empty: Any, wanted: str) -> Any:
    value = row.get(key)
    if is_missing(value):
        return empty
    if not isinstance(value, kind) or isinstance(value, bool):
        raise _other(key, value, wanted)
    return value


def escaped(text: str) -> str:
    """A text whose half surrogate pairs, which UTF-8 has not, are spelled out: `\\ud83d`."""
    return text.encode("utf-8", "backslashreplace").decode()


def _utf8(key: str, text: str) -> str:
    problem = unencodable(text)
    if problem:
        raise Dropped(Reason.OTHER_FORM, f"{key} {problem}")
    return text


def _other(key: str, value: Any, wanted: str) -> Dropped:
    shown = repr(value)
    return Dropped(Reason.OTHER_FORM, f"{key} is {shown if len(shown) <= 80 else f'{shown[:77]}...'}, not {wanted}")
