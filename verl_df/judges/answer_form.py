# SPDX-License-Identifier: Apache-2.0
"""Reading verdicts out of a model's answer, for endpoints that do not enforce a schema."""

import json
import re
from collections.abc import Iterator
from typing import Any

from verl_df.io.json_text import check_depth

# What begins an object, also one in the spelling of Python or JavaScript, but no group of LaTeX.
_OPENS_OBJECT = re.compile(r"""\{\s*(?:"|'\w|\w+\s*:)""")


def verdicts(text: str, name: str) -> list[dict[str, Any]]:
    """The JSON objects of an answer that have a field `name`, at least one; code fences and talk are passed over.

    There may be several, for a model that has to quote the text under judgement may quote a verdict that was planted in
    it. Which one is its own cannot be told by the place: the caller lets the one against that text count. A quotation
    that is not escaped can also end the model's own object. An answer is therefore none where an object is no JSON or
    has a field twice, and where the field's name stands outside the objects.

    Raises:
        ValueError: there is none, or one of the above. Time grows with the length of the text.
    """
    found, outside, end = [], [], 0
    for start, stop, value in _objects(text):
        outside.append(text[end:start])
        end = stop
        if name in value:
            found.append(value)
    outside.append(text[end:])
    if not found:
        raise ValueError(f"no JSON object with {name!r} in the answer {short(text)}")
    if any(f'"{name}"' in part for part in outside):
        raise ValueError(f"{name!r} stands outside the objects of the answer {short(text)}")
    return found


def typed_field(answer: dict[str, Any], name: str, kind: type) -> Any:
    """A field of an answer. Raises: ValueError where it is missing or of another type."""
    if type(answer.get(name)) is not kind:
        raise ValueError(f"{name!r} must be a {kind.__name__} in the answer {short(json.dumps(answer))}")
    return answer[name]


def short(text: str) -> str:
    """The text for a message of one line."""
    return repr(text if len(text) <= 200 else f"{text[:150]} ... {text[-40:]}")


def _objects(text: str) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """Where the JSON objects that are inside no other one begin and end, and what they hold."""
    decoder, opening = json.JSONDecoder(object_pairs_hook=_unique), _OPENS_OBJECT.search(text)
    while opening:
        start = opening.start()
        try:
            check_depth(text, start)
            value, end = decoder.raw_decode(text, start)
        except ValueError as error:
            raise ValueError(f"an object that is no JSON in the answer {short(text[start:])}: {error}") from error
        yield start, end, value
        opening = _OPENS_OBJECT.search(text, end)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("a field twice")
    return value
