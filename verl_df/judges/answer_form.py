# SPDX-License-Identifier: Apache-2.0
"""Reading verdicts out of a model's answer, for endpoints that do not enforce a schema."""

import json
import re
from collections.abc import Iterator
from typing import Any

from verl_df.io.json_text import parse_json

# What begins an object, also one in the spelling of Python or JavaScript, but no group of LaTeX.
_OPENS_OBJECT = re.compile(r"""\{\s*(?:"|'\w|\w+\s*:)""")


def verdicts(text: str, name: str) -> list[dict[str, Any]]:
    """The JSON objects of an answer that have a field `name`, at least one; code fences and talk are passed over.

    There may be several, for a model that has to quote the text under judgement may quote a verdict that was planted in
    it. Which one is its own cannot be told by the place: the caller lets the one against that text count. For the same
    reason an answer with an object that is no JSON, which may hold a quotation or be the verdict, is none at all.

    Raises:
        ValueError: there is none, or an object that is no JSON. Time grows with the length of the text.
    """
    found = [value for value in _objects(text) if name in value]
    if not found:
        raise ValueError(f"no JSON object with {name!r} in the answer {short(text)}")
    return found


def typed_field(answer: dict[str, Any], name: str, kind: type) -> Any:
    """A field of an answer. Raises: ValueError where it is missing or of another type."""
    if type(answer.get(name)) is not kind:
        raise ValueError(f"{name!r} must be a {kind.__name__} in the answer {short(json.dumps(answer))}")
    return answer[name]


def short(text: str) -> str:
    """The text for a message of one line."""
    return repr(text if len(text) <= 200 else f"{text[:150]} ... {text[-40:]}")


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """The JSON objects that are inside no other one."""
    decoder, opening = json.JSONDecoder(), _OPENS_OBJECT.search(text)
    while opening:
        try:
            _, end = decoder.raw_decode(text, opening.start())
            yield parse_json(text[opening.start() : end])
        except (ValueError, RecursionError) as error:
            raise ValueError(f"an object that is no JSON in the answer {short(text[opening.start() :])}") from error
        opening = _OPENS_OBJECT.search(text, end)
