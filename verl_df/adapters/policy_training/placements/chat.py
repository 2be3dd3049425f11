# SPDX-License-Identifier: Apache-2.0
"""A repair prompt and its answer in the forms of the OpenAI API, with vLLM's additions."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Self

from verl_df.judges.failures import EndpointFailure, FailureReason
from verl_df.judges.payload import choice_of

HALF_SURROGATE = re.compile("[\ud800-\udfff]")  # JSON can spell one; no tokenizer reads it, and no token makes one


@dataclass(frozen=True)
class Reply:
    """A chat completion.

    Attributes:
        text: "" where the model ended at once.
        stopped: by an end token, not by the limit.
        token_ids, prompt_ids: as vLLM's server adds them when asked; None without.
        prompt_tokens: as the endpoint counts them; None where it does not.
        tokens, log_probs: of the response, where asked for.
    """

    text: str
    stopped: bool
    token_ids: tuple[int, ...] | None
    prompt_ids: tuple[int, ...] | None
    prompt_tokens: int | None
    tokens: tuple[str, ...]
    log_probs: tuple[float, ...]

    @classmethod
    def of(cls, reply: Any) -> Self:
        """Read the JSON of a reply. Raises: EndpointFailure, for nothing in it can be relied on."""
        choice = choice_of(reply)
        message = choice.get("message")
        if not isinstance(message, dict) or not isinstance(message.get("content"), str | None):
            raise EndpointFailure(FailureReason.EMPTY, "no message")
        text = message.get("content") or ""
        if HALF_SURROGATE.search(text):
            raise EndpointFailure(FailureReason.UNPARSABLE, "its text holds half a surrogate pair, no character")
        usage = reply.get("usage")
        scores = _scores(choice.get("logprobs"))
        return cls(
            text=text,
            stopped=choice.get("finish_reason") == "stop",
            token_ids=_ids(choice.get("token_ids")),
            prompt_ids=_ids(reply.get("prompt_token_ids")),
            prompt_tokens=usage.get("prompt_tokens") if isinstance(usage, dict) else None,
            tokens=tuple(token for token, _ in scores),
            log_probs=tuple(log_prob for _, log_prob in scores),
        )


def _scores(given: Any) -> list[tuple[str, float]]:
    content = given.get("content") if isinstance(given, dict) else None
    try:
        return [(str(score["token"]), float(score["logprob"])) for score in content or []]
    except (KeyError, TypeError, ValueError) as error:
        raise EndpointFailure(FailureReason.UNPARSABLE, "its log-probabilities are not of the API's form") from error


def _ids(given: Any) -> tuple[int, ...] | None:
    if given is None:
        return None
    if not isinstance(given, list) or not all(type(token) is int for token in given):
        raise EndpointFailure(FailureReason.UNPARSABLE, "its token ids are no list of whole numbers")
    return tuple(given)


def chat_messages(messages: Sequence[Mapping[str, Any]], media: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Messages in the API's form, each picture in its place, as `payload.request_body` takes it.

    Args:
        messages: content is text, or items of type text and image.
        media: `image_data`, the pictures as PIL images in the messages' order; the others are not sent.

    Raises:
        NotImplementedError: the prompt has a video or sound.
    """
    if media.get("video_data") or media.get("audio_data"):
        raise NotImplementedError("df.repair.placement=remote sends text and images only: choose another placement")
    images = iter(media.get("image_data") or [])

    def item(given: Mapping[str, Any]) -> dict[str, Any]:
        return dict(given) if given["type"] == "text" else {"type": "image_url", "image_url": {"url": next(images)}}

    def content(given: Any) -> Any:
        return given if isinstance(given, str) else [item(part) for part in given]

    return [{**one, "content": content(one["content"])} for one in messages]


def without_repeats(token_ids: Sequence[int], placeholders: Collection[int]) -> list[int]:
    """The ids with each run of one placeholder cut to a single one: servers differ in how far they expand pictures."""
    runs = ((token, len(list(run))) for token, run in groupby(token_ids))
    return [token for token, length in runs for _ in range(1 if token in placeholders else length)]
