# SPDX-License-Identifier: Apache-2.0
"""What goes to an endpoint and what comes back, in the forms of the OpenAI API."""

import base64
import io
from typing import Any

from openai.types.chat import ChatCompletion
from PIL import Image

from verl_df.judges.failures import EndpointFailure, FailureReason


def data_url(image: Image.Image) -> str:
    """The image as a PNG data URL, in RGB."""
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, format="PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def reply_text(completion: Any) -> str:
    """The answer's text. Raises: EndpointFailure, for the package checks neither the reply's type nor its fields."""
    if not isinstance(completion, ChatCompletion):
        raise EndpointFailure(FailureReason.UNPARSABLE, "the reply is no chat completion; does base_url end in /v1?")
    choices = completion.choices
    if not isinstance(choices, list) or not choices:
        raise EndpointFailure(FailureReason.EMPTY, "no choices")
    content = getattr(getattr(choices[0], "message", None), "content", None)
    if not isinstance(content, str) or not content.strip():
        raise EndpointFailure(FailureReason.EMPTY, "no text")
    return content


def model_names(reply: Any) -> list[str]:
    """Names in a list of models; empty where the reply is none."""
    models = reply.get("data") if isinstance(reply, dict) else None
    entries = models if isinstance(models, list) else []
    return [str(entry["id"]) for entry in entries if isinstance(entry, dict) and "id" in entry]
