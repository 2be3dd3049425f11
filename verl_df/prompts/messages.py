# SPDX-License-Identifier: Apache-2.0
"""The repair prompt as chat messages, images kept."""

import re
from typing import Any

from verl_df.prompts import render_repair

_MARKERS = {"image": "<image>", "video": "<video>"}
_SPLIT = re.compile("(<image>|<video>)")


def repair_messages(
    messages: list[dict[str, Any]], response: str, reference: str, template: str | None = None
) -> list[dict[str, Any]]:
    """The policy's prompt x, its last user message turned into a request to repair y given a (Eq. 5).

    Args:
        messages: x as verl's dataset gives it: `content` a string, or a list of items of type text, image or video.
        response: y, decoded without special tokens.
        reference: a correct sibling's text or the annotated answer.
        template: text with {question}, {response}, {reference}; None: the packaged one.

    Returns:
        new messages with the same media in the same order; `messages` is left as it was.

    Raises:
        ValueError: no user message at the end, content of another type than text, image and video, or a text that
            holds a marker (`<image>`, `<video>`) to which no media belong.
    """
    if not messages or messages[-1]["role"] != "user":
        raise ValueError("the last message of a prompt must be the user's: there is no question to repair an answer to")
    content = messages[-1]["content"]
    if isinstance(content, str):
        return [*messages[:-1], {"role": "user", "content": render_repair(content, response, reference, template)}]
    media = [item for item in content if item["type"] != "text"]
    question = "".join(_as_text(item) for item in content)
    rendered = render_repair(question, response, reference, template)
    parts = [part for part in _SPLIT.split(rendered) if part]
    markers = sum(part in _MARKERS.values() for part in parts)
    if markers != len(media):
        raise ValueError(
            f"the repair prompt has {markers} of the markers {', '.join(_MARKERS.values())} for {len(media)} media: "
            "take the markers out of the question's text and out of df.repair.prompt_template"
        )
    remaining = iter(media)
    items = [next(remaining) if part in _MARKERS.values() else {"type": "text", "text": part} for part in parts]
    return [*messages[:-1], {"role": "user", "content": items}]


def _as_text(item: dict[str, Any]) -> str:
    if item["type"] == "text":
        return item["text"]
    if item["type"] not in _MARKERS:
        raise ValueError(f"content of type {item['type']!r} in a prompt: a repair prompt takes text, image and video")
    return _MARKERS[item["type"]]
