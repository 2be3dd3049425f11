# SPDX-License-Identifier: Apache-2.0
"""A model behind an OpenAI-compatible endpoint, asked with images: bounded in concurrency, in time and in failures."""

import asyncio
import os
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from openai import (
    APIConnectionError,
    APIResponseValidationError,
    APIStatusError,
    APITimeoutError,
    AsyncOpenAI,
    DefaultAsyncHttpxClient,
)
from PIL import Image
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from verl_df.io.validation import checked
from verl_df.judges.circuit import CircuitBreaker
from verl_df.judges.failures import EndpointFailure, FailureReason
from verl_df.judges.payload import data_url, model_names, reply_text

T = TypeVar("T")

# Statuses that blame the request (a prompt too long, say) and not the endpoint: they do not open the circuit.
_REQUEST_STATUSES = (400, 413, 422)


@checked
class EndpointConfig:
    """Where the model is and how hard to try.

    Attributes:
        base_url: of the API, with its version: `http://host:8000/v1`. It and `model` are needed once an `Endpoint` is
            made; a block that is switched off may leave them out.
        model: name under which the endpoint serves it.
        api_key_env: name of the environment variable that holds the key; null: the endpoint wants none.
        timeout_s: seconds for one call with all its retries and the waits between them. Waiting for a slot (see
            `max_concurrency`) does not count: it ends when the calls before it end.
        max_concurrency: calls under way at the same time, in one event loop.
        max_retries: tries after the first one, of the openai package: for lost connections, timeouts and the statuses
            408, 409, 429, 5xx, with growing waits, or the wait that the endpoint asks for.
        temperature: of the sampling; 0: greedy.
        max_tokens: longest answer.
        breaker_failures: calls failed in a row (unreachable, timeout, HTTP error) after which calls are skipped.
        breaker_cool_down_s: seconds of skipping before the endpoint is tried again.
    """

    base_url: str = ""
    model: str = ""
    api_key_env: str | None = None
    timeout_s: PositiveFloat = 60.0
    max_concurrency: PositiveInt = 16
    max_retries: NonNegativeInt = 2
    temperature: NonNegativeFloat = 0.0
    max_tokens: PositiveInt = 512
    breaker_failures: PositiveInt = 16
    breaker_cool_down_s: PositiveFloat = 30.0


class Endpoint:
    """Calls to one endpoint.

    Usable from any event loop, several one after another too: connections and slots belong to the loop that they were
    made in. The counts and the circuit breaker are the object's.

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
        """One question, images first and then the text, as one user message.

        Args:
            text: the question.
            images: sent as PNG in data URLs.
            parse: makes the result of the answer's text; a ValueError of it means that the answer is unparsable.
            schema: JSON schema of the answer, sent as `response_format`; the endpoint may ignore it.

        Raises:
            EndpointFailure: no result; counted.
        """
        client, slots = self._of_this_loop()
        async with slots:
            try:
                result = await self._ask(client, text, images, parse, schema)
            except EndpointFailure as failure:
                self._count(failure.reason)
                raise
        self._count("ok")
        return result

    async def check(self) -> None:
        """Ask the endpoint for its models, to be called before a run starts. Not counted.

        Raises:
            EndpointFailure: it cannot be reached, or does not answer as an OpenAI-compatible endpoint does.
            ValueError: it does not serve `config.model`; names those that it serves.
        """
        client, _ = self._of_this_loop()
        try:
            reply = await self._in_time(client.get("/models", cast_to=object))
        except EndpointFailure as failure:
            raise EndpointFailure(failure.reason, f"endpoint {self.config.base_url}: {failure.detail}") from failure
        names = model_names(reply)
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

    async def _ask(
        self,
        client: AsyncOpenAI,
        text: str,
        images: Sequence[Image.Image],
        parse: Callable[[str], T],
        schema: Mapping[str, Any] | None,
    ) -> T:
        if not self._breaker.allows_call():
            raise EndpointFailure(FailureReason.SKIPPED, "the calls before it failed")
        # Encoding a large picture takes long enough to hold up the other calls of this loop.
        urls = [await asyncio.to_thread(data_url, image) for image in images]
        content = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
        request: dict[str, Any] = {
            "model": self.config.model,
            "messages": [{"role": "user", "content": [*content, {"type": "text", "text": text}]}],
            "temperature": self.config.temperature,
            "max_tokens": self.config.max_tokens,
        }
        if schema is not None:
            form = {"name": "answer", "schema": dict(schema), "strict": True}
            request["response_format"] = {"type": "json_schema", "json_schema": form}
        answer = reply_text(await self._in_time(client.chat.completions.create(**request)))
        try:
            return parse(answer)
        except ValueError as error:
            raise EndpointFailure(FailureReason.UNPARSABLE, str(error)) from error

    async def _in_time(self, call: Any) -> Any:
        """The call's result within `timeout_s`, its exceptions made one; the circuit breaker hears of it."""
        try:
            result = await asyncio.wait_for(call, self.config.timeout_s)
        except (TimeoutError, APITimeoutError) as error:
            self._breaker.failed()
            raise EndpointFailure(FailureReason.TIMEOUT, f"no answer in {self.config.timeout_s:g} s") from error
        except APIConnectionError as error:
            self._breaker.failed()
            raise EndpointFailure(FailureReason.UNREACHABLE, f"{error} ({error.__cause__})") from error
        except APIStatusError as error:
            if error.status_code not in _REQUEST_STATUSES:
                self._breaker.failed()
            raise EndpointFailure(FailureReason.HTTP_ERROR, f"{error.status_code}: {error.message[:300]}") from error
        except (ValueError, APIResponseValidationError) as error:  # a body that is no JSON
            self._breaker.succeeded()
            raise EndpointFailure(FailureReason.UNPARSABLE, f"the reply is no JSON: {error}") from error
        self._breaker.succeeded()
        return result

    def _of_this_loop(self) -> tuple[AsyncOpenAI, asyncio.Semaphore]:
        loop = asyncio.get_running_loop()
        with self._lock:
            if loop not in self._loops:
                self._loops[loop] = (self._client(), asyncio.Semaphore(self.config.max_concurrency))
            return self._loops[loop]

    def _client(self) -> AsyncOpenAI:
        return AsyncOpenAI(
            base_url=self.config.base_url,
            api_key=self._api_key,
            timeout=self.config.timeout_s,
            max_retries=self.config.max_retries,
            http_client=DefaultAsyncHttpxClient(event_hooks={"request": [self._note_retry]}),
        )

    async def _note_retry(self, request: Any) -> None:
        if int(request.headers.get("x-stainless-retry-count", 0)) > 0:
            self._count("retries")

    def _count(self, name: str) -> None:
        with self._lock:
            self.counts[str(name)] += 1


def _api_key(variable: str | None) -> str:
    if variable is None:
        return "none"  # the package insists on one
    key = os.environ.get(variable)
    if not key:
        raise ValueError(f"api_key_env={variable}: no such environment variable; export the key under this name")
    return key
