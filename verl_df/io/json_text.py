# SPDX-License-Identifier: Apache-2.0
"""JSON that somebody else wrote, read by one function: whatever it holds, it is a value or a ValueError."""

import json
import re
from typing import Any

# Of lists and objects inside each other. Ours have four levels; what walks deeper ones recursively, as pydantic and
# `json.dumps` do, ends with a RecursionError at some hundreds.
MAX_DEPTH = 100

# A string, also one that the text breaks off in, or a bracket outside strings.
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|[][{}]', re.DOTALL)


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: it is no JSON, not UTF-8, or nested in more than `MAX_DEPTH` levels.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8-sig")
    if text.count("[") + text.count("{") > MAX_DEPTH:  # a level takes a bracket
        check_depth(text)
    return json.loads(text)


def check_depth(text: str, start: int = 0) -> None:
    """Look at the depth of the list or object that begins at `start`, before it is parsed.

    Not afterwards: Python's parser would go on to the limit of recursion, and whatever the garbage collector then
    happens to end there, of any library's, fails.

    Raises:
        ValueError: it is nested in more than `MAX_DEPTH` levels.
    """
    depth = 0
    for found in _STRING_OR_BRACKET.finditer(text, start):
        depth += (found[0] in "[{") - (found[0] in "]}")
        if depth > MAX_DEPTH:
            raise ValueError(f"JSON nested in more than {MAX_DEPTH} levels")
        if depth <= 0:
            return  # it has ended


def json_object(text: str | bytes, what: str) -> dict[str, Any]:
    """Parse a JSON object. Raises: ValueError for anything else; `what` is its name in the message."""
    content = parse_json(text)
    if not isinstance(content, dict):
        raise ValueError(f"{what} is a JSON object, this line holds a {type(content).__name__}")
    return content
