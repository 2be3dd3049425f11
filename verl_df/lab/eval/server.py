# SPDX-License-Identifier: Apache-2.0
"""A model behind an OpenAI-compatible server (`vllm serve`): bounded in concurrency and in time, failures counted."""

import asyncio
from collections.abc import Sequence
from typing import Any

from verl_df.io.pictures import PATCH_SIZE
from verl_df.judges.endpoint import Endpoint
from verl_df.judges.failures import EndpointFailure, FailureReason
from verl_df.judges.payload import choice_of, text_of
from verl_df.lab.engine import Decoding
from verl_df.lab.generation import Request, Response, request_seeds, with_image_items


class ChatServer(Endpoint):
    """A `Generator` that continues whole conversations, one response a call, so that its tokens are counted apart.

    A request of which a response is missing after all retries gets none. Its model's patches are not known here.
    """

    patch_size = PATCH_SIZE

    def generate(
        self,
        requests: Sequence[Request],
        *,
        n: int,
        temperature: float,
        top_p: float = 1.0,
        max_tokens: int,
        seed: int,
    ) -> list[list[Response]]:
        """See `Generator`."""
        return asyncio.run(self._generate(requests, Decoding(n, temperature, top_p, max_tokens), seed))

    def failures(self) -> str:
        """What failed so far, in a few words; empty for nothing."""
        return ", ".join(f"{reason} {self.counts[reason]}" for reason in FailureReason if self.counts[reason])

    async def _generate(self, requests: Sequence[Request], decoding: Decoding, seed: int) -> list[list[Response]]:
        try:
            pairs = zip(requests, request_seeds(requests, seed), strict=True)
            return list(await asyncio.gather(*(self._answer(request, decoding, own) for request, own in pairs)))
        finally:
            await self.aclose()

    async def _answer(self, request: Request, decoding: Decoding, seed: int) -> list[Response]:
        messages = _messages(request)
        calls = [self._chat(messages, decoding, seed + number) for number in range(decoding.n)]
        responses = await asyncio.gather(*calls, return_exceptions=True)
        for one in responses:
            if isinstance(one, BaseException) and not isinstance(one, EndpointFailure):
                raise one
        whole = [one for one in responses if isinstance(one, Response)]
        return whole if len(whole) == decoding.n else []

    async def _chat(self, messages: list[dict[str, Any]], decoding: Decoding, seed: int) -> Response:
        """One response. Raises: EndpointFailure for none, counted."""
        request = {
            "messages": messages,
            "temperature": decoding.temperature,
            "top_p": decoding.top_p,
            "max_tokens": decoding.max_tokens,
            "seed": seed,
        }
        return await self.chat(request, _response)


def _messages(request: Request) -> list[dict[str, Any]]:
    """The conversation in the API's form, each image in its place."""
    messages = with_image_items(request.messages, len(request.images))
    images = iter(request.images)
    for message in messages:
        message["content"] = [
            {"type": "image_url", "image_url": {"url": next(images)}} if item["type"] == "image" else item
            for item in message["content"]
        ]
    return messages


def _response(reply: Any) -> Response:
    choice = choice_of(reply)
    text = text_of(choice)  # an empty one is a response, and a wrong one
    usage = reply.get("usage")
    tokens = usage.get("completion_tokens") if isinstance(usage, dict) else None
    if type(tokens) is not int or tokens < 0:
        raise EndpointFailure(FailureReason.UNPARSABLE, "the reply does not say how many tokens were generated")
    return Response((), text, choice.get("finish_reason") == "stop", tokens)
