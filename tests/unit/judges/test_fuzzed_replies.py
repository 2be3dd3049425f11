# SPDX-License-Identifier: Apache-2.0
"""Thousands of replies that are broken in every way a generator can think of: a verdict or a counted failure."""

import asyncio
import json
import os
import random
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest
from PIL import Image

from tests.unit.endpoint_fake import MODEL, completion
from verl_df.judges import endpoint as endpoint_module
from verl_df.judges.auditor import Audit, Auditor, AuditorConfig
from verl_df.judges.endpoint import EndpointConfig
from verl_df.judges.failures import FailureReason
from verl_df.judges.llm_judge import JudgeConfig, LLMJudge, Verdict
from verl_df.lab.eval.server import ChatServer
from verl_df.lab.generation import Request, Response

REPLIES = 2000  # for each of judge, auditor and evaluation server
AT_ONCE = 16
LIMIT_S = 60.0  # a call of these takes milliseconds

VERDICT = '{"reason": "the same", "correct": true}'
FINDING = '{"evidence": "x", "failure_mode": "none", "hacking": false}'
JUNK: list[Any] = [None, True, 0, -1, 1e308, 10**30, "", "x", "\ud83d", "\0", [], [[]], [None], {}, {"a": 1}, "[" * 900]
HOSTILE = [
    "{" * 9000,
    "[" * 9000,
    '{"a":' * 3000,
    "}" * 9000,
    '"' * 9000,
    "\\" * 9000,
    '{"correct": true}' * 500,
    "```json\n",
]


def junk(rng: random.Random, depth: int = 0) -> Any:
    if depth < 3 and rng.random() < 0.3:
        return [junk(rng, depth + 1) for _ in range(rng.randrange(4))]
    return rng.choice(JUNK)


def altered(rng: random.Random, value: Any) -> Any:
    """The value with one part of it replaced, taken away or wrapped."""
    if isinstance(value, dict) and value and rng.random() < 0.8:
        key = rng.choice(list(value))
        rest = {name: one for name, one in value.items() if name != key}
        return rest if rng.random() < 0.1 else {**rest, key: altered(rng, value[key])}
    if isinstance(value, list) and value and rng.random() < 0.8:
        return [*value[:-1], altered(rng, value[-1])]
    return [value] if rng.random() < 0.1 else junk(rng)


def scrambled(rng: random.Random, text: str) -> str:
    """The text with pieces cut, doubled, or put in."""
    for _ in range(rng.randrange(1, 4)):
        place, end = sorted(rng.randrange(len(text) + 1) for _ in range(2))
        piece = rng.choice([*HOSTILE, text, VERDICT, "<|im_end|>", "\ud83d", "}", "{", '"', ","])
        text = rng.choice([text[:place], text[:place] + text[end:], text[:place] + piece + text[place:]])
    return text


def reply(rng: random.Random, answer: str) -> httpx2.Response:
    """A reply that is sound with one thing wrong, or nothing but noise."""
    content = {**completion(answer), "usage": {"completion_tokens": 5}}
    status, headers = 200, {"Content-Type": "application/json"}
    kind = rng.randrange(7)
    if kind == 0:
        body = json.dumps(altered(rng, content)).encode()
    elif kind == 1:
        body = json.dumps({**content, **completion(scrambled(rng, answer))}).encode()
    elif kind == 2:
        body = scrambled(rng, json.dumps(content)).encode("utf-8", "replace")
    elif kind == 3:
        body = rng.randbytes(rng.randrange(2000))
    elif kind == 4:
        body = rng.choice(
            [
                b"[" * 200_000,
                b'{"a":' * 50_000,
                b" " * 400_000,
                b"",
                b"null",
                b"\xff\xfe",
                b"\xef\xbb\xbf{}",
                b"1" * 9000,
            ]
        )
    elif kind == 5:
        body = json.dumps(content).encode()
        headers |= {
            rng.choice(
                ["Content-Encoding", "Content-Type", "Location", "Content-Length", "retry-after", "x"]
            ): rng.choice(
                ["gzip", "br", "zstd", "identity", "text/html", "application/json; charset=utf-99", "9" * 400, "-1", ""]
            )
        }
    else:
        body = json.dumps(altered(rng, {"error": {"message": "no", "code": 5}})).encode()
        status = rng.choice(
            [100, 199, 201, 204, 300, 301, 302, 303, 304, 307, 308, 400, 401, 404, 413, 418, 422, 429, 500, 503, 599]
        )
        to = ["http://other/v1", "/v1/chat/completions", "//", "http://[", "file:///etc/passwd", "", "\t", "?a=b"]
        headers |= {"Location": rng.choice(to)} if rng.random() < 0.7 else {}
    return httpx2.Response(status, headers=headers, stream=Pieces(body))


class Pieces(httpx2.AsyncByteStream):
    """A body that arrives piece by piece."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __aiter__(self):
        for start in range(0, len(self._body), 50_000):
            yield self._body[start : start + 50_000]


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], EndpointConfig]:
    """A network whose replies to all calls are fuzzed around the answer that it is made with."""

    def configured(answer: str) -> EndpointConfig:
        rng = random.Random(answer)

        async def handle(request: httpx2.Request) -> httpx2.Response:
            assert request.url.host == "judge"
            return reply(rng, answer)

        client = partial(endpoint_module.DefaultAsyncHttpxClient, transport=httpx2.MockTransport(handle))
        monkeypatch.setattr(endpoint_module, "DefaultAsyncHttpxClient", client)
        breaker = {"breaker_failures": 10**9}
        return EndpointConfig(
            base_url="http://judge/v1", model=MODEL, max_retries=0, max_concurrency=AT_ONCE, **breaker
        )

    return configured


def children() -> set[str]:
    return set(Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split())


def results(call: Callable[[], Any]) -> list[Any]:
    """Of so many calls, each within its limit; no process is left of them."""
    before = children()

    async def one() -> Any:
        begin = time.thread_time()
        result = await call()
        assert time.thread_time() - begin < LIMIT_S
        return result

    async def run() -> list[Any]:
        return await asyncio.gather(*(one() for _ in range(REPLIES)))

    found = asyncio.run(run())
    assert children() == before
    return found


def check_counts(counts: dict[str, int], failures: list[str | None]) -> None:
    assert sum(counts.values()) == REPLIES
    assert counts["ok"] == failures.count(None) > 0
    reasons = {reason.value for reason in FailureReason} - {"skipped"}
    assert set(counts) - {"ok"} <= reasons and counts["unparsable"] and counts["http_error"] and counts["empty"]


def test_the_judge(network: Callable[[str], EndpointConfig]) -> None:
    judge = LLMJudge(JudgeConfig(endpoint=network(VERDICT)))
    verdicts = results(lambda: judge.judge("?", [Image.new("RGB", (2, 2))], "4", "4"))
    assert all(isinstance(one, Verdict) and one.r_task in (0.0, 1.0) for one in verdicts)
    assert all(one.r_task == 0.0 for one in verdicts if one.failure)
    check_counts(judge.endpoint.counts, [one.failure for one in verdicts])


def test_the_auditor(network: Callable[[str], EndpointConfig]) -> None:
    auditor = Auditor(AuditorConfig(enabled=True, endpoint=network(FINDING), on_failure="reject"))
    audits = results(lambda: auditor.audit("?", [], "y", "z", "a", None))
    assert all(isinstance(one, Audit) and one.g_aud in (0, 1) for one in audits)
    assert all(one.g_aud == 0 for one in audits if one.failure)
    check_counts(auditor.endpoint.counts, [one.failure for one in audits])


def test_the_evaluation_server(network: Callable[[str], EndpointConfig]) -> None:
    server, request = ChatServer(network("so \\boxed{4}")), Request([{"role": "user", "content": "?"}], [])
    decoding = {"n": 1, "temperature": 1.0, "top_p": 1.0, "max_tokens": 8, "seed": 0}
    answers = server.generate([request] * REPLIES, **decoding)
    assert len(answers) == REPLIES and all(len(own) <= 1 for own in answers)
    for own in answers:
        assert all(isinstance(one, Response) and isinstance(one.text, str) and one.tokens >= 0 for one in own)
    check_counts(server.counts, [None if own else "failed" for own in answers])
