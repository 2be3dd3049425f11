# SPDX-License-Identifier: Apache-2.0
"""Settings and records that are checked when they are made, and what is wrong with them in one line.

A class under `@checked` is a frozen pydantic dataclass: nothing unknown, nothing converted but a whole number for a
float, a list for a tuple (`Listed`) and a text for one of its choices (`Choice`). Constraints stand at the field.
"""

import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field, is_dataclass
from enum import StrEnum
from functools import wraps
from typing import Annotated, Any, TypeVar, dataclass_transform, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, GetCoreSchemaHandler, Strict, ValidationError
from pydantic.dataclasses import dataclass
from pydantic_core import CoreSchema

T = TypeVar("T")

Listed = Annotated[tuple[T, ...], Strict(False)]
"""A tuple that may be given as a list, which is what JSON has."""

_STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
_SHOWN = 3
_LONGEST_FINDING = 600  # characters
_TYPES = {
    "int_type": "int",
    "float_type": "float",
    "string_type": "str",
    "bool_type": "bool",
    "dict_type": "dict",
    "list_type": "list",
    "tuple_type": "list",
    "dataclass_type": "a block of keys",
}

_WORDS = {
    "Input should be": "must be",
    "greater than or equal to": "at least",
    "less than or equal to": "at most",
    "greater than": "more than",
}


class Choice(StrEnum):
    """A choice of a setting or record, which may be given as text."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return _lax(source, handler)


def _lax(source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
    return {**handler(source), "strict": False}


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def checked(kind: type[T]) -> type[T]:
    """Make `kind` a frozen dataclass whose fields are checked; rules on several fields stand in `__post_init__`.

    A block of keys may be given where a field is of such a class. Making an instance raises a ValueError of one line.
    """
    kind.__get_pydantic_core_schema__ = staticmethod(_lax)  # type: ignore[attr-defined]
    made = dataclass(frozen=True, config=_STRICT)(kind)
    made.__init__ = _in_one_line(made, made.__init__)  # type: ignore[method-assign]
    return made  # type: ignore[return-value]


def _in_one_line(kind: type, init: Callable[..., None]) -> Callable[..., None]:
    @wraps(init)
    def __init__(self: Any, *args: Any, **values: Any) -> None:
        try:
            init(self, *args, **values)
        except ValidationError as error:
            raise ValueError(described(error, kind)) from error

    return __init__


def described(error: ValidationError, kind: type, place: str = "", moved: Mapping[str, str] | None = None) -> str:
    """What is wrong, where, and what to write instead: the first three findings in one line.

    Args:
        error: of the validation.
        kind: the class that was to be made.
        place: of `kind`, which stands before each key: `df` makes `df.repair.n` of its `repair.n`.
        moved: keys that have another name now.
    """
    found = [_shortened(_finding(dict(one), kind, place, moved or {})) for one in error.errors(include_url=False)]
    return "; ".join(found[:_SHOWN]) + (f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else "")


def _shortened(finding: str) -> str:
    """A finding that quotes a value of thousands of characters, without its middle."""
    half = _LONGEST_FINDING // 2
    return finding if len(finding) <= _LONGEST_FINDING else f"{finding[:half]} ... {finding[-half:]}"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A question that offers the known name nearest to `name`, or an empty string where none is near."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"did you mean {str(close[0])!r}?" if close else ""


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint for an unknown name: the nearest known one, or all of them."""
    known = sorted(known)
    return did_you_mean(name, known) or f"known: {', '.join(known)}"


def annotation_at(kind: type, path: Sequence[str | int]) -> Any:
    """The type of what lies at a path of keys below the dataclass `kind`; None inside a value whose keys are free."""
    found: Any = kind
    for part in path:
        if get_origin(found) is dict:  # the keys are free, the values are not
            found = get_args(found)[1]
            continue
        block = block_of(found)
        found = block and get_type_hints(block).get(str(part))
    return found


def block_of(annotation: Any) -> type | None:
    """The dataclass of an annotation `Block` or `Block | None`; None for any other."""
    return next((option for option in (annotation, *get_args(annotation)) if is_dataclass(option)), None)  # type: ignore[return-value]


def _finding(detail: dict[str, Any], kind: type, place: str, moved: Mapping[str, str]) -> str:
    path, type_, given = detail["loc"], detail["type"], _short(detail["input"])
    key = ".".join([*([place] if place else []), *map(str, path)])
    said = detail["msg"].removeprefix("Value error, ")
    for pydantics, ours in _WORDS.items():
        said = said.replace(pydantics, ours)
    if type_ == "missing":
        return f"missing key {key!r}"
    if type_ == "unexpected_keyword_argument":
        if key in moved:
            return f"{key} is {moved[key]} now"
        block = block_of(annotation_at(kind, path[:-1]))
        return f"unknown key {key!r}; {nearest(str(path[-1]), get_type_hints(block))}"
    if type_ == "value_error":  # a rule on several keys may name them in full
        return said if not key or said.startswith(key) else f"{key}: {said}"
    choices = re.findall("'(.*?)'", str(detail.get("ctx", {}).get("expected", "")))
    if choices:
        return f"{key}={given}; {nearest(str(detail['input']), choices)}"
    if type_ in _TYPES:
        null = " or null" if type(None) in get_args(annotation_at(kind, path)) else ""
        return f"{key}: expected {_TYPES[type_]}{null}, got {given}"
    return f"{key}={given}: {said}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:150]} ... {text[-40:]}"
