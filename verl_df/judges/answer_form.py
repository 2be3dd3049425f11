# SPDX-License-Identifier: Apache-2.0
"""Reading a JSON object out of a model's answer, for endpoints that do not enforce a schema."""

import json
from typing import Any


def last_object(text: str) -> dict[str, Any]:
    """The last JSON object of a text that does not lie inside another one: code fences and talk around it are ignored.

    Raises:
        ValueError: there is none.
    """
    decoder, found, position = json.JSONDecoder(), None, text.find("{")
    while position >= 0:
        try:
            value, end = decoder.raw_decode(text, position)
        except (ValueError, RecursionError):
            end = position + 1
        else:
            found = value
        position = text.find("{", end)
    if found is None:
        raise ValueError(f"no JSON object in the answer {_short(text)}")
    return found


def typed_field(answer: dict[str, Any], name: str, kind: type) -> Any:
    """A field of an answer. Raises: ValueError where it is missing or of another type."""
    if type(answer.get(name)) is not kind:
        raise ValueError(f"{name!r} must be a {kind.__name__} in the answer {_short(json.dumps(answer))}")
    return answer[name]


def _short(text: str) -> str:
    return repr(text if len(text) <= 200 else f"{text[:150]} ... {text[-40:]}")
