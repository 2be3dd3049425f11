# SPDX-License-Identifier: Apache-2.0
"""What goes to an endpoint and what comes back, in the forms of the OpenAI API."""

import base64
import io
import json
from typing import Any
from uuid import uuid4

from PIL import Image

from verl_df.io.json_text import parse_json
from verl_df.judges.failures import EndpointFailure, FailureReason


def request_body(arguments: dict[str, Any]) -> bytes:
    """The JSON of a request, where an image may stand for its URL: it becomes a PNG data URL, in RGB.

    To be called in a thread. The URLs are put in as they are: an encoder would look through tens of megabytes for
    characters to escape, and no other thread runs meanwhile.
    """
    mark, urls = uuid4().hex, []

    def place(image: Image.Image) -> str:
        urls.append(data_url(image))
        return mark

    pieces = iter(json.dumps(arguments, default=place).encode("ascii").split(mark.encode("ascii")))
    return b"".join([next(pieces), *(part for pair in zip(urls, pieces, strict=True) for part in pair)])


def data_url(image: Image.Image) -> bytes:
    """The image as a PNG data URL, in RGB."""
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, format="PNG")
    return b"data:image/png;base64," + base64.b64encode(buffer.getvalue())


def max_reply_bytes(max_tokens: int) -> int:
    """How long a reply may be: the names and ids around it, and 64 bytes a token, more than any text comes to."""
    return (256 << 10) + 64 * max_tokens


def read_reply(content: bytes) -> Any:
    """The JSON of a reply. Raises: EndpointFailure for none, or for one that is nested too deeply."""
    try:
        return parse_json(content)
    except ValueError as error:
        raise EndpointFailure(FailureReason.UNPARSABLE, f"the reply is no JSON: {error}") from error


def choice_of(reply: Any) -> dict[str, Any]:
    """The first choice of a chat completion. Raises: EndpointFailure where the reply is none."""
    if not isinstance(reply, dict):
        raise EndpointFailure(FailureReason.UNPARSABLE, "the reply is no chat completion; does base_url end in /v1?")
    choices = reply.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise EndpointFailure(FailureReason.EMPTY, "no choices")
    return choices[0]


def text_of(choice: dict[str, Any]) -> str:
    """The text of a choice, which may be empty. Raises: EndpointFailure where it has none."""
    message = choice.get("message")
    content = message.get("content") if isinstance(message, dict) else None
    if not isinstance(content, str):
        raise EndpointFailure(FailureReason.EMPTY, "no text; is a reasoning parser on, which takes it away?")
    return content


def reply_text(reply: Any) -> str:
    """The answer's text, which is not blank. Raises: EndpointFailure."""
    content = text_of(choice_of(reply))
    if not content.strip():
        raise EndpointFailure(FailureReason.EMPTY, "no text")
    return content


def model_names(reply: Any) -> list[str]:
    """Names in a list of models; empty where the reply is none."""
    models = reply.get("data") if isinstance(reply, dict) else None
    entries = models if isinstance(models, list) else []
    return [str(entry["id"]) for entry in entries if isinstance(entry, dict) and "id" in entry]
