# SPDX-License-Identifier: Apache-2.0
"""A model behind an OpenAI-compatible server (`vllm serve`): bounded in concurrency and in time, failures counted."""

import asyncio
from collections.abc import Sequence
from typing import Any

from openai.types.chat import ChatCompletion

from verl_df.judges.endpoint import Endpoint
from verl_df.judges.failures import EndpointFailure, FailureReason
from verl_df.judges.payload import data_url
from verl_df.lab.evaluation.sampling import Decoding, Drawn
from verl_df.lab.generation import Request, request_seeds, with_image_items


class ChatServer(Endpoint):
    """An endpoint that continues whole conversations, one response a call, so that its tokens are counted apart."""

    async def chat(self, messages: list[dict[str, Any]], decoding: Decoding, seed: int) -> Drawn:
        """One response. `decoding.n` is not looked at.

        Raises:
            EndpointFailure: no response; counted.
        """
        client, slots = self._of_this_loop()
        async with slots:
            try:
                if not self._breaker.allows_call():
                    raise EndpointFailure(FailureReason.SKIPPED, "the calls before it failed")
                call = client.chat.completions.create(
                    model=self.config.model,
                    messages=messages,  # type: ignore[arg-type]
                    temperature=decoding.temperature,
                    top_p=decoding.top_p,
                    max_tokens=decoding.max_tokens,
                    seed=seed,
                )
                drawn = _drawn(await self._in_time(call))
            except EndpointFailure as failure:
                self._count(failure.reason)
                raise
        self._count("ok")
        return drawn


class ServerSampler:
    """A `Sampler` that asks a server. A request of which a response is missing after all retries gets none."""

    def __init__(self, server: ChatServer) -> None:
        self._server = server

    def sample(self, requests: Sequence[Request], decoding: Decoding, seed: int) -> list[list[Drawn]]:
        """See `Sampler`."""
        return asyncio.run(self._sample(requests, decoding, seed))

    def failures(self) -> str:
        """See `Sampler`."""
        counts = self._server.counts
        return ", ".join(f"{reason} {counts[reason]}" for reason in FailureReason if counts[reason])

    async def _sample(self, requests: Sequence[Request], decoding: Decoding, seed: int) -> list[list[Drawn]]:
        try:
            seeds = request_seeds(requests, seed)
            pairs = zip(requests, seeds, strict=True)
            return list(await asyncio.gather(*(self._answer(request, decoding, own) for request, own in pairs)))
        finally:
            await self._server.aclose()

    async def _answer(self, request: Request, decoding: Decoding, seed: int) -> list[Drawn]:
        messages = await asyncio.to_thread(_messages, request)
        calls = [self._server.chat(messages, decoding, seed + number) for number in range(decoding.n)]
        drawn = await asyncio.gather(*calls, return_exceptions=True)
        for one in drawn:
            if isinstance(one, BaseException) and not isinstance(one, EndpointFailure):
                raise one
        return [] if any(isinstance(one, EndpointFailure) for one in drawn) else drawn  # type: ignore[return-value]


def _messages(request: Request) -> list[dict[str, Any]]:
    """The conversation in the API's form, each image in its place as a PNG data URL."""
    messages = with_image_items(request.messages, len(request.images))
    urls = iter([data_url(image) for image in request.images])
    for message in messages:
        message["content"] = [
            {"type": "image_url", "image_url": {"url": next(urls)}} if item["type"] == "image" else item
            for item in message["content"]
        ]
    return messages


def _drawn(completion: Any) -> Drawn:
    if not isinstance(completion, ChatCompletion) or not completion.choices:
        raise EndpointFailure(FailureReason.UNPARSABLE, "the reply is no chat completion; does the URL end in /v1?")
    choice = completion.choices[0]
    if choice.message.content is None:  # an empty text is a response, and a wrong one
        raise EndpointFailure(FailureReason.EMPTY, "no text; is a reasoning parser on, which takes it away?")
    if completion.usage is None:
        raise EndpointFailure(FailureReason.UNPARSABLE, "the reply does not say how many tokens were generated")
    return Drawn(choice.message.content, completion.usage.completion_tokens, choice.finish_reason == "stop")
