# SPDX-License-Identifier: Apache-2.0
"""JSON that somebody else wrote, read by one function: whatever it holds, it is a value or a ValueError."""

import json
from typing import Any

# Of lists and objects inside each other. Ours have four levels; what walks deeper ones recursively, as pydantic and
# `json.dumps` do, ends with a RecursionError at some hundreds.
MAX_DEPTH = 100


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: it is no JSON, not UTF-8, or nested in more than `MAX_DEPTH` levels.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8-sig")
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error
    # a level takes a bracket, so that most texts need no walk
    if text.count("[") + text.count("{") > MAX_DEPTH and _is_too_deep(value):
        raise ValueError(_TOO_DEEP)
    return value


def json_object(text: str | bytes, what: str) -> dict[str, Any]:
    """Parse a JSON object. Raises: ValueError for anything else; `what` is its name in the message."""
    content = parse_json(text)
    if not isinstance(content, dict):
        raise ValueError(f"{what} is a JSON object, this line holds a {type(content).__name__}")
    return content


_TOO_DEEP = f"JSON nested in more than {MAX_DEPTH} levels"


def _is_too_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for one in level
            for child in (one.values() if isinstance(one, dict) else one)
            if isinstance(child, dict | list)
        ]
        if not level:
            return False
    return True
