# SPDX-License-Identifier: Apache-2.0
"""A fake OpenAI-compatible server on 127.0.0.1 whose behaviour a test chooses, in a thread of its own."""

import asyncio
import json
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from aiohttp import web

MODEL = "fake-model"
# Limits of a call in seconds. Where an answer comes, a machine that stalls must not make a timeout of it; where none
# comes, the server waits for longer than any test may run, so that only the caller's own limit ends the call.
PATIENT_S, IMPATIENT_S, NEVER_S = 60.0, 0.6, 3600.0
Behaviour = Callable[["FakeEndpoint", web.Request], Awaitable[web.StreamResponse]]


def limit_s(failure: str) -> float:
    """The limit with which a call ends with this failure."""
    return IMPATIENT_S if failure == "timeout" else PATIENT_S


class FakeEndpoint:
    """url: base URL. requests: bodies of the calls, in order. headers: theirs. most_at_once: most calls under way."""

    def __init__(self, behaviour: Behaviour, models: Any) -> None:
        self.behaviour, self.models = behaviour, models
        self.url = ""
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.most_at_once = self._now = 0

    async def chat(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(await request.json())
        self.headers.append(dict(request.headers))
        self._now += 1
        self.most_at_once = max(self.most_at_once, self._now)
        try:
            return await self.behaviour(self, request)
        finally:
            self._now -= 1

    async def wait_for(self, calls: int) -> None:
        """Until so many calls have been under way at once."""
        while self.most_at_once < calls:
            await asyncio.sleep(0.01)

    async def list_models(self, request: web.Request) -> web.Response:
        return web.json_response(self.models)


@contextmanager
def serve(behaviour: Behaviour, models: Any = None) -> Iterator[FakeEndpoint]:
    """A server that answers every chat request as `behaviour` says; gone after the block."""
    listed = {"object": "list", "data": [{"id": MODEL, "object": "model"}]} if models is None else models
    endpoint, loop, ready = FakeEndpoint(behaviour, listed), asyncio.new_event_loop(), threading.Event()

    async def start() -> web.AppRunner:
        app = web.Application(client_max_size=64 << 20)
        app.router.add_post("/v1/chat/completions", endpoint.chat)
        app.router.add_get("/v1/models", endpoint.list_models)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        endpoint.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        return runner

    def run() -> None:
        runner = loop.run_until_complete(start())
        ready.set()
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(PATIENT_S)
    try:
        yield endpoint
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)


def completion(text: str | None) -> dict[str, Any]:
    """The body of a reply with this text."""
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    return {"id": "1", "object": "chat.completion", "created": 0, "model": MODEL, "choices": [choice]}


def says(text: str | None, after_s: float = 0.0, together: int = 1) -> Behaviour:
    """Answers with this text, after so many seconds, and not before so many calls have been under way at once."""

    async def behaviour(endpoint: FakeEndpoint, request: web.Request) -> web.Response:
        await endpoint.wait_for(together)
        await asyncio.sleep(after_s)
        return web.json_response(completion(text))

    return behaviour


hangs = says("late", after_s=NEVER_S)


def body(content: str, status: int = 200, kind: str = "application/json") -> Behaviour:
    """Answers with this body and status."""

    async def behaviour(endpoint: FakeEndpoint, request: web.Request) -> web.Response:
        return web.Response(text=content, status=status, content_type=kind)

    return behaviour


def first(status: int, times: int, text: str) -> Behaviour:
    """Answers `times` calls with this status, and the later ones with this text."""

    async def behaviour(endpoint: FakeEndpoint, request: web.Request) -> web.Response:
        if len(endpoint.requests) <= times:
            return web.Response(status=status, text="busy", headers={"retry-after-ms": "10"})
        return web.json_response(completion(text))

    return behaviour


async def drips(endpoint: FakeEndpoint, request: web.Request) -> web.StreamResponse:
    """A reply that grows by a byte every 20 ms and never ends: no single read of it times out."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    await response.write(json.dumps(completion("x"))[:-1].encode())
    while True:
        await asyncio.sleep(0.02)
        await response.write(b" ")


async def hangs_up(endpoint: FakeEndpoint, request: web.Request) -> web.StreamResponse:
    """Half of a reply, then the connection ends."""
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "1000"})
    await response.prepare(request)
    await response.write(json.dumps(completion("x"))[:40].encode())
    assert request.transport is not None
    request.transport.close()
    return response


def unused_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
