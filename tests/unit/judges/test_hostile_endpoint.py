# SPDX-License-Identifier: Apache-2.0
"""An endpoint that means harm: what it sends costs a bounded amount of memory and time, and counts as a failure."""

import asyncio
import gzip
import json
import re
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import replace

import pytest
from aiohttp import web
from PIL import Image

from tests.unit.endpoint_fake import MODEL, PATIENT_S, Behaviour, FakeEndpoint, body, completion, says, serve
from verl_df.judges.endpoint import Endpoint, EndpointConfig
from verl_df.judges.failures import EndpointFailure, FailureReason
from verl_df.judges.llm_judge import JudgeConfig, LLMJudge, Verdict, parse_verdict

LONG = 64 << 20


def configured(url: str) -> EndpointConfig:
    return EndpointConfig(base_url=url, model=MODEL, timeout_s=PATIENT_S, max_retries=0)


def failure(url: str, parse: Callable[[str], object] = str) -> EndpointFailure:
    """How a call fails."""
    with pytest.raises(EndpointFailure) as caught:
        asyncio.run(Endpoint(configured(url)).ask("?", [], parse))
    return caught.value


def redirects(to: Callable[[web.Request], str], status: int = 307) -> Behaviour:
    async def behaviour(endpoint: FakeEndpoint, request: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Location": to(request)})

    return behaviour


def floods(status: int, **headers: str) -> Behaviour:
    """A megabyte after the other, more than any test could hold."""

    async def behaviour(endpoint: FakeEndpoint, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=status, headers={"Content-Type": "application/json", **headers})
        await response.prepare(request)
        for _ in range(LONG >> 20):
            await response.write(b" " * (1 << 20))
        return response

    return behaviour


def zipped(content: bytes) -> Behaviour:
    async def behaviour(endpoint: FakeEndpoint, request: web.Request) -> web.Response:
        headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
        return web.Response(body=gzip.compress(content), headers=headers)

    return behaviour


@pytest.mark.parametrize("status", [302, 307, 308])
def test_a_redirect_to_another_address_is_refused(status: int) -> None:
    with serve(says('{"correct": true}')) as other:
        with serve(redirects(lambda _: f"{other.url}/chat/completions", status)) as server:
            found = failure(server.url)
        assert found.reason is FailureReason.HTTP_ERROR and not other.requests
        assert found.detail.startswith(f"redirected to another address, {other.url.removesuffix('/v1')}")
        with serve(redirects(lambda _: f"{other.url}/chat/completions".replace("127.0.0.1", "localhost"))) as server:
            assert failure(server.url).reason is FailureReason.HTTP_ERROR
        assert not other.requests


def test_a_redirect_on_the_same_address_is_followed() -> None:
    async def behaviour(endpoint: FakeEndpoint, request: web.Request) -> web.Response:
        if "again" not in request.query:
            return web.Response(status=307, headers={"Location": "/v1/chat/completions?again=1"})
        return web.json_response(completion("yes"))

    with serve(behaviour) as server:
        assert asyncio.run(Endpoint(configured(server.url)).ask("?", [], str)) == "yes"


@pytest.mark.parametrize(
    "to", ["http://[", "ftp://127.0.0.1/x", "//", "http://\udcff/", "\n", "file:///etc/passwd", ""]
)
def test_a_redirect_to_nowhere_is_a_failure(to: str) -> None:
    async def behaviour(endpoint: FakeEndpoint, request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        head = f"HTTP/1.1 307 Moved\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n"
        request.transport.write(head.encode("utf-8", "surrogateescape"))  # type: ignore[attr-defined]
        request.transport.close()
        return web.Response()

    with serve(behaviour) as server:
        assert failure(server.url).reason in (FailureReason.HTTP_ERROR, FailureReason.UNREACHABLE)


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        (floods(200), "more than .* bytes"),
        (floods(500), "more than .* bytes"),
        (floods(200, **{"Content-Encoding": "identity"}), "more than .* bytes"),
        (zipped(b" " * LONG), "compressed .'gzip'."),
        (zipped(json.dumps(completion("yes")).encode()), "compressed .'gzip'."),
    ],
)
def test_no_more_is_read_than_the_limit(behaviour: Behaviour, words: str) -> None:
    with serve(behaviour) as server:
        failure(server.url)  # what is imported and cached once
        tracemalloc.start()
        try:
            found = failure(server.url)
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert found.reason is FailureReason.UNPARSABLE
    assert re.search(words, found.detail)
    assert most < LONG / 4  # the fake server's own buffers are among it


@pytest.mark.parametrize(
    "reply",
    ["[" * 200_000, '{"a":' * 40_000, json.dumps(completion("[" * 5000)), json.dumps(completion('{"correct":' * 9000))],
)
def test_deep_replies_are_unparsable(reply: str) -> None:
    with serve(body(reply)) as server:
        judge = LLMJudge(JudgeConfig(endpoint=configured(server.url)))
        assert asyncio.run(judge.judge("?", [], "4", "4")) == Verdict(0.0, "unparsable")


# Of processor time: 0.03 s, where reading in the loop took seconds. A slow machine may take longer.
LONGEST_STOP = 0.5


def longest_stop(work: Callable[[Endpoint], object], url: str, tries: int = 3) -> float:
    """The longest time in seconds for which the event loop did nothing else."""

    async def run() -> float:
        endpoint, longest = Endpoint(configured(url)), 0.0
        task = asyncio.ensure_future(work(endpoint))  # type: ignore[call-overload]
        await asyncio.sleep(0)
        while not task.done():
            begin = time.thread_time()
            await asyncio.sleep(0)
            longest = max(longest, time.thread_time() - begin)
        await asyncio.gather(task, return_exceptions=True)
        return longest

    return min(asyncio.run(run()) for _ in range(tries))  # the first call of a process may import something


@pytest.mark.parametrize("text", ["{" * 250_000, '{"a":[],' * 30_000, '{"correct": true} ' * 14_000, '{"' * 120_000])
def test_a_long_answer_does_not_hold_the_event_loop(text: str) -> None:
    with serve(says(text)) as server:

        async def work(endpoint: Endpoint) -> None:
            await endpoint.ask("?", [], parse_verdict)

        assert longest_stop(work, server.url) < LONGEST_STOP


def test_a_large_picture_does_not_hold_the_event_loop() -> None:
    noise = Image.effect_noise((3000, 2000), 100).convert("RGB")  # 16 MB of base64
    with serve(says("yes")) as server:

        async def work(endpoint: Endpoint) -> None:
            await endpoint.ask("?", [noise], str)

        assert longest_stop(work, server.url) < LONGEST_STOP


def test_half_a_surrogate_pair_is_no_trouble() -> None:
    with serve(says("so \ud83d")) as server:
        assert asyncio.run(Endpoint(configured(server.url)).ask("\ud83d?", [], str)) == "so \ud83d"
        assert server.requests[0]["messages"][0]["content"][0]["text"] == "\ud83d?"


@pytest.mark.parametrize("status", [200, 401, 500])
def test_the_key_is_told_to_nobody(
    status: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture
) -> None:
    """The endpoint repeats it, and everything that can be logged is."""
    key = "sk-0123456789abcdef"
    monkeypatch.setenv("JUDGE_KEY", key)
    caplog.set_level("DEBUG")
    told = json.dumps(completion(f"key {key}") | {"error": {"message": f"wrong key {key}"}})
    with serve(body(told, status)) as server:
        config = replace(configured(server.url), api_key_env="JUDGE_KEY")
        endpoint = Endpoint(config)
        with pytest.raises(EndpointFailure) as caught:
            asyncio.run(endpoint.ask("?", [], parse_verdict))
        assert server.headers[0]["Authorization"] == f"Bearer {key}"
    texts = [str(caught.value), repr(config), repr(endpoint), endpoint.summary(), caplog.text, *capfd.readouterr()]
    assert not any(key in text for text in texts)
    assert "***" in caught.value.detail or status == 200
