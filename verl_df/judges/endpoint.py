# SPDX-License-Identifier: Apache-2.0
"""A model behind an OpenAI-compatible endpoint, asked with images: bounded in concurrency, in time and in failures."""

import asyncio
import os
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any, Self, TypeVar
from weakref import WeakKeyDictionary

from httpx2 import Response, create_ssl_context
from openai import APIConnectionError, APIStatusError, APITimeoutError, AsyncOpenAI, DefaultAsyncHttpxClient
from PIL import Image
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from verl_df.io.validation import checked
from verl_df.judges.circuit import CircuitBreaker
from verl_df.judges.failures import EndpointFailure, FailureReason
from verl_df.judges.guard import Refused, keeps_to, limits
from verl_df.judges.payload import max_reply_bytes, model_names, read_reply, reply_text, request_body

T = TypeVar("T")

# Statuses that blame the request (a prompt too long, say) and not the endpoint: they do not open the circuit.
_REQUEST_STATUSES = (400, 413, 422)
_LONGEST_DETAIL = 500
_JSON: Any = {"headers": {"Content-Type": "application/json"}}


@checked
class ServerConfig:
    """Where a model is served and how hard to try.

    Attributes:
        base_url: of the API, with its version: `http://host:8000/v1`. It and `model` are needed once an `Endpoint` is
            made; a block that is switched off may leave them out.
        model: name under which the endpoint serves it.
        api_key_env: name of the environment variable that holds the key; null: the endpoint wants none.
        timeout_s: seconds for one call with all its retries, the waits between them and the reading of the answer.
            Waiting for a slot (see `max_concurrency`) does not count: it ends when the calls before it end.
        max_retries: tries after the first one, of the openai package: for lost connections, timeouts and the statuses
            408, 409, 429, 5xx, with growing waits, or the wait that the endpoint asks for.
        breaker_failures: calls failed in a row (unreachable, timeout, HTTP error) after which calls are skipped.
        breaker_cool_down_s: seconds of skipping before the endpoint is tried again.
    """

    base_url: str = ""
    model: str = ""
    api_key_env: str | None = None
    timeout_s: PositiveFloat = 60.0
    max_retries: NonNegativeInt = 2
    breaker_failures: PositiveInt = 16
    breaker_cool_down_s: PositiveFloat = 30.0


@checked
class EndpointConfig(ServerConfig):
    """A served model, and how it is asked.

    Attributes:
        max_concurrency: calls under way at the same time, in one event loop.
        temperature: of the sampling; 0: greedy.
        max_tokens: longest answer.
    """

    max_concurrency: PositiveInt = 16
    temperature: NonNegativeFloat = 0.0
    max_tokens: PositiveInt = 512

    @classmethod
    def at(cls, server: ServerConfig, **settings: Any) -> Self:
        """The model of this server. settings: of this class."""
        return cls(**{one.name: getattr(server, one.name) for one in fields(ServerConfig)}, **settings)


class Endpoint:
    """Calls to one endpoint.

    Usable from any event loop, several one after another too: connections and slots belong to the loop that they were
    made in. The counts and the circuit breaker are the object's.

    The endpoint is not trusted: of a reply no more is read than `max_tokens` can fill, none is unpacked, a redirect to
    another address is refused, and what is read is read in a thread, so that the event loop goes on.

    Attributes:
        config: as given.
        counts: calls by outcome, "ok" or a `FailureReason`; and "retries", requests sent again.

    Raises:
        ValueError: `base_url` is no URL, `model` is empty, or `api_key_env` names a variable that is not set.
    """

    def __init__(self, config: EndpointConfig) -> None:
        if not config.base_url.startswith(("http://", "https://")):
            raise ValueError(f"base_url={config.base_url!r}: write a URL such as http://127.0.0.1:8000/v1")
        if not config.model:
            raise ValueError("model is empty: write the name under which the endpoint serves the model")
        self.config = config
        self.counts: Counter[str] = Counter()
        self._api_key = _api_key(config.api_key_env)
        self._certificates = create_ssl_context()  # reading them takes longer than an event loop may stand still
        self._breaker = CircuitBreaker(config.breaker_failures, config.breaker_cool_down_s)
        self._lock = threading.Lock()
        self._loops: WeakKeyDictionary[asyncio.AbstractEventLoop, tuple[AsyncOpenAI, asyncio.Semaphore]]
        self._loops = WeakKeyDictionary()

    async def ask(
        self,
        text: str,
        images: Sequence[Image.Image],
        parse: Callable[[str], T],
        schema: Mapping[str, Any] | None = None,
    ) -> T:
        """The answer's text to one question, images first and then the text, as one user message.

        Args:
            text: the question.
            images: sent as PNG in data URLs.
            parse: makes the result of the answer's text; a ValueError of it means that the answer is unparsable.
            schema: JSON schema of the answer, sent as `response_format`; the endpoint may ignore it.

        Raises:
            EndpointFailure: no result; counted.
        """
        content = [{"type": "image_url", "image_url": {"url": image}} for image in images]
        request = {
            "messages": [{"role": "user", "content": [*content, {"type": "text", "text": text}]}],
            "temperature": self.config.temperature,
            "max_tokens": self.config.max_tokens,
            **_answer_form(schema),
        }
        return await self.chat(request, lambda reply: parse(reply_text(reply)))

    async def check(self) -> None:
        """Ask the endpoint for its models, to be called before a run starts. Not counted.

        Raises:
            EndpointFailure: it cannot be reached, or does not answer as an OpenAI-compatible endpoint does.
            ValueError: it does not serve `config.model`; names those that it serves.
        """
        client, _ = self._of_this_loop()
        try:
            names = await self._in_time(_read(client.get("/models", cast_to=Response), model_names))
        except EndpointFailure as failure:
            raise EndpointFailure(failure.reason, f"endpoint {self.config.base_url}: {failure.detail}") from failure
        if not names:
            detail = f"endpoint {self.config.base_url}: no list of models at /models; does base_url end in /v1?"
            raise EndpointFailure(FailureReason.UNPARSABLE, detail)
        if self.config.model not in names:
            raise ValueError(f"endpoint {self.config.base_url} has no model {self.config.model!r}; it serves {names}")

    async def aclose(self) -> None:
        """Close the connections of the running event loop."""
        found = self._loops.pop(asyncio.get_running_loop(), None)
        if found:
            await found[0].close()

    def summary(self) -> str:
        """The counts as one line, for the end of a run: "ok 96, timeout 3, retries 5"; "no calls" without any."""
        return ", ".join(f"{name} {count}" for name, count in self.counts.most_common()) or "no calls"

    async def chat(self, request: Mapping[str, Any], read: Callable[[Any], T]) -> T:
        """One chat completion, counted.

        Args:
            request: its arguments, `model` excepted; see `payload.request_body`.
            read: makes the result of the reply's JSON, in a thread; a ValueError means that the reply is unparsable.

        Raises:
            EndpointFailure: no result; counted.
        """
        client, slots = self._of_this_loop()
        async with slots:
            try:
                if not self._breaker.allows_call():
                    raise EndpointFailure(FailureReason.SKIPPED, "the calls before it failed")
                body = await asyncio.to_thread(request_body, {"model": self.config.model, **request})
                reply = client.post("/chat/completions", content=body, cast_to=Response, options=_JSON)
                result = await self._in_time(_read(reply, read))
            except EndpointFailure as failure:
                self._count(failure.reason)
                raise
        self._count("ok")
        return result

    async def _in_time(self, work: Awaitable[T]) -> T:
        """The result within `timeout_s`, exceptions made one; the circuit breaker hears of it."""
        try:
            result = await asyncio.wait_for(work, self.config.timeout_s)
        except EndpointFailure as failure:  # it answered, and made no sense
            self._breaker.succeeded()
            raise self._failure(failure.reason, failure.detail) from None
        except (TimeoutError, APITimeoutError) as error:
            self._breaker.failed()
            raise self._failure(FailureReason.TIMEOUT, f"no answer in {self.config.timeout_s:g} s") from error
        except APIConnectionError as error:
            self._breaker.failed()
            raise self._failure(FailureReason.UNREACHABLE, f"{error} ({error.__cause__})") from error
        except APIStatusError as error:
            if error.status_code not in _REQUEST_STATUSES:
                self._breaker.failed()
            raise self._failure(FailureReason.HTTP_ERROR, f"{error.status_code}: {error.message}") from error
        except Refused as error:
            self._breaker.failed()
            raise self._failure(error.reason, str(error)) from error
        self._breaker.succeeded()
        return result

    def _failure(self, reason: FailureReason, detail: str) -> EndpointFailure:
        """A failure whose detail is short and does not repeat the key, as endpoints do that complain about it."""
        detail = detail.replace(self._api_key, "***") if self.config.api_key_env else detail
        return EndpointFailure(reason, detail[:_LONGEST_DETAIL])

    def _of_this_loop(self) -> tuple[AsyncOpenAI, asyncio.Semaphore]:
        loop = asyncio.get_running_loop()
        with self._lock:
            if loop not in self._loops:
                self._loops[loop] = (self._client(), asyncio.Semaphore(self.config.max_concurrency))
            return self._loops[loop]

    def _client(self) -> AsyncOpenAI:
        size = max_reply_bytes(self.config.max_tokens)
        hooks = {"request": [keeps_to(self.config.base_url), self._note_retry], "response": [limits(size)]}
        return AsyncOpenAI(
            base_url=self.config.base_url,
            api_key=self._api_key,
            timeout=self.config.timeout_s,
            max_retries=self.config.max_retries,
            http_client=DefaultAsyncHttpxClient(
                headers={"Accept-Encoding": "identity"}, event_hooks=hooks, verify=self._certificates
            ),
        )

    async def _note_retry(self, request: Any) -> None:
        if int(request.headers.get("x-stainless-retry-count", 0)) > 0:
            self._count("retries")

    def _count(self, name: str) -> None:
        with self._lock:
            self.counts[str(name)] += 1


async def _read(reply: Awaitable[Response], read: Callable[[Any], T]) -> T:
    """What `read` makes of a reply that the openai package hands over unread. Raises: EndpointFailure."""
    content = (await reply).content

    def result() -> T:
        try:
            return read(read_reply(content))
        except ValueError as error:
            raise EndpointFailure(FailureReason.UNPARSABLE, str(error)) from error

    return await asyncio.to_thread(result)


def _answer_form(schema: Mapping[str, Any] | None) -> dict[str, Any]:
    """The argument of a call that asks for an answer of this JSON schema."""
    if schema is None:
        return {}
    form = {"name": "answer", "schema": dict(schema), "strict": True}
    return {"response_format": {"type": "json_schema", "json_schema": form}}


def _api_key(variable: str | None) -> str:
    if variable is None:
        return "none"  # the package insists on one
    key = os.environ.get(variable)
    if not key:
        raise ValueError(f"api_key_env={variable}: no such environment variable; export the key under this name")
    return key
