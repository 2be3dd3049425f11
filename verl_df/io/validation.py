# SPDX-License-Identifier: Apache-2.0
"""pydantic's findings in this package's words: what is wrong, where, and the nearest name that exists."""

from collections.abc import Iterable
from difflib import get_close_matches

from pydantic import ConfigDict, ValidationError

# For `pydantic.dataclasses.dataclass(frozen=True, config=STRICT)`: nothing unknown, nothing converted.
STRICT = ConfigDict(extra="forbid", strict=True)


def findings(error: ValidationError, prefix: str = "", known: Iterable[str] = ()) -> list[str]:
    """One text for each thing that is wrong, such as `df.repair.n: Input should be greater than 0, not -1`.

    Args:
        error: of the validation.
        prefix: stands before each place.
        known: names among which the nearest of an unknown one is looked for.
    """
    return [_finding(detail, prefix, tuple(known)) for detail in error.errors(include_url=False)]


def _finding(detail: dict, prefix: str, known: tuple[str, ...]) -> str:
    place = ".".join([*([prefix] if prefix else []), *map(str, detail["loc"])])
    if detail["type"] == "missing":
        return f"{place}: missing"
    if detail["type"] == "unexpected_keyword_argument":
        near = get_close_matches(str(detail["loc"][-1]), known, n=1)
        return f"{place}: unknown" + (f"; did you mean {near[0]!r}?" if near else "")
    said = detail["msg"].removeprefix("Value error, ")
    if detail["type"] in ("value_error", "json_invalid"):
        return f"{place}: {said}" if place else said
    return f"{place + ': ' if place else ''}{said}, not {detail['input']!r}"
