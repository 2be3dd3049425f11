# SPDX-License-Identifier: Apache-2.0
"""Evaluation through a server: what it is sent, what is made of its replies, and servers that fail."""

import asyncio
from typing import Any

import pytest
from aiohttp import web
from PIL import Image

from tests.unit.endpoint_fake import MODEL, NEVER_S, PATIENT_S, FakeEndpoint, completion, serve
from tests.unit.lab.eval.support import mmstar_row, write_rows
from verl_df.cli import main
from verl_df.judges.endpoint import EndpointConfig
from verl_df.lab.eval.finished import read_evaluation
from verl_df.lab.eval.server import ChatServer
from verl_df.lab.generation import Request, Response, request_seed

DECODING = {"n": 2, "temperature": 0.7, "top_p": 0.9, "max_tokens": 33}
IMAGE = Image.new("RGB", (4, 3), (9, 9, 9))
REQUEST = Request(
    [{"role": "system", "content": "Look."}, {"role": "user", "content": "a <image>b<image>"}], [IMAGE] * 2, 7
)


def reply(text: str | None, tokens: int | None = 5, reason: str = "stop") -> dict[str, Any]:
    body = completion(text)
    body["choices"][0]["finish_reason"] = reason
    if tokens is not None:
        body["usage"] = {"prompt_tokens": 9, "completion_tokens": tokens, "total_tokens": 9 + tokens}
    return body


def answers(*bodies: Any):
    """Each body in turn, the last one for ever; a number is an HTTP status."""

    async def behaviour(endpoint: FakeEndpoint, request: web.Request) -> web.Response:
        body = bodies[min(len(endpoint.requests), len(bodies)) - 1]
        return web.Response(status=body) if isinstance(body, int) else web.json_response(body)

    return behaviour


def by_question(*bodies: Any):
    """To question number i the i-th body; requests may come in any order."""

    async def behaviour(endpoint: FakeEndpoint, request: web.Request) -> web.Response:
        asked = str((await request.json())["messages"])
        body = next(body for number, body in enumerate(bodies) if f"What is it, {number}?" in asked)
        return web.Response(status=body) if isinstance(body, int) else web.json_response(body)

    return behaviour


def sampler(endpoint: FakeEndpoint, **changes: Any) -> ChatServer:
    config = {"base_url": endpoint.url, "model": MODEL, "max_retries": 0, "timeout_s": PATIENT_S, **changes}
    return ChatServer(EndpointConfig(**config))


def test_what_is_sent_and_what_comes_back():
    with serve(answers(reply("cut short", 33, "length"), reply("", 1))) as endpoint:
        drawn = sampler(endpoint, max_concurrency=1).generate([REQUEST], **DECODING, seed=4)
    assert drawn == [[Response((), "cut short", False, 33), Response((), "", True, 1)]]  # an empty response is one
    first, second = endpoint.requests
    assert (first["temperature"], first["top_p"], first["max_tokens"], first["model"]) == (0.7, 0.9, 33, MODEL)
    assert [first["seed"], second["seed"]] == [request_seed(4, 7), request_seed(4, 7) + 1]
    assert first["messages"][0] == {"role": "system", "content": [{"type": "text", "text": "Look."}]}
    content = first["messages"][1]["content"]
    assert [item.get("text", item["type"]) for item in content] == ["a ", "image_url", "b", "image_url"]
    assert content[1]["image_url"]["url"].startswith("data:image/png;base64,")


@pytest.mark.parametrize(
    ("body", "counted"),
    [
        (reply(None), "empty 2"),
        (reply("x", tokens=None), "unparsable 2"),
        ({"object": "other"}, "empty 2"),
        ([], "unparsable 2"),
        ({"choices": 5}, "empty 2"),
        ({"choices": [5]}, "empty 2"),
        ({"choices": [{"message": None}]}, "empty 2"),
        ({"choices": [{"message": {"content": [{"type": "text", "text": "x"}]}}]}, "empty 2"),
        ({"choices": [{"message": {"content": "x"}}], "usage": 5}, "unparsable 2"),
        ({"choices": [{"message": {"content": "x"}}], "usage": {"completion_tokens": "5"}}, "unparsable 2"),
        ({"choices": [{"message": {"content": "x"}}], "usage": {"completion_tokens": -1}}, "unparsable 2"),
        (404, "http_error 2"),
    ],
)
def test_failures_are_counted_and_give_no_response(body, counted):
    with serve(answers(body)) as endpoint:
        asked = sampler(endpoint)
        assert asked.generate([REQUEST], **DECODING, seed=0) == [[]]
        assert asked.failures() == counted


def test_a_request_with_one_missing_response_gets_none():
    with serve(answers(reply("x"), 500, reply("x"))) as endpoint:
        asked = sampler(endpoint, max_concurrency=1)
        drawn = asked.generate([REQUEST, REQUEST], **DECODING, seed=0)
        assert sorted(drawn, key=len) == [[], [Response((), "x", True, 5)] * 2]  # which of them is sent first is open
        assert asked.failures() == "http_error 1"


def test_a_slow_server_and_bounded_concurrency():
    async def slow(endpoint: FakeEndpoint, request: web.Request) -> web.Response:
        await endpoint.wait_for(3)
        await asyncio.sleep(0.1 if len(endpoint.requests) < 8 else NEVER_S)
        return web.json_response(reply("x"))

    with serve(slow) as endpoint:
        asked = sampler(endpoint, max_concurrency=3, timeout_s=6.0)
        drawn = asked.generate([REQUEST] * 4, **DECODING, seed=0)
        assert endpoint.most_at_once == 3
        assert sum(not own for own in drawn) == 1 and asked.failures() == "timeout 1"


def test_a_whole_evaluation_goes_on_after_failures(tmp_path, capsys):
    data = write_rows(tmp_path / "rows.parquet", [mmstar_row(index) for index in range(3)])

    def arguments(url: str, model: str = MODEL) -> list[str]:
        where = ["--model", f"served={model}", "--server", url, "--concurrency", "1", "--timeout-s", "60"]
        return ["run", *where, "--data", f"mmstar={data}", "--out", str(tmp_path / "out"), "--greedy"]

    with serve(by_question(reply("A"), 404, reply("C"))) as endpoint:
        assert main(["eval", *arguments(endpoint.url)]) == 1
        assert "1 problems have no answer (http_error 1): run the same command again" in capsys.readouterr().err
        assert main(["eval", *arguments(endpoint.url, "other")]) == 1
        assert "has no model 'other'; it serves ['fake-model']" in capsys.readouterr().err
    with serve(answers(reply("B"))) as endpoint:  # at another address
        assert main(["eval", *arguments(endpoint.url)]) == 0
        assert [len(endpoint.requests), endpoint.requests[0]["temperature"]] == [1, 0.0]
    assert "| MMStar | 3 | 100.0% [100.0, 100.0] | 0.0% | 0.0% | 5 |" in capsys.readouterr().out
    assert sorted(sample.text for sample in read_evaluation(tmp_path / "out").samples) == ["A", "B", "C"]
    assert main(["eval", *arguments("http://127.0.0.1:9/v1")]) == 1
    assert "--server: unreachable" in capsys.readouterr().err
