# SPDX-License-Identifier: Apache-2.0
"""The endpoint client against a fake server that misbehaves in every way we could think of."""

import asyncio
import base64
import io
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from PIL import Image

from tests.unit.endpoint_fake import (
    IMPATIENT_S,
    MODEL,
    PATIENT_S,
    Behaviour,
    FakeEndpoint,
    body,
    completion,
    drips,
    first,
    hangs,
    hangs_up,
    says,
    serve,
    unused_port,
)
from verl_df.judges import endpoint as endpoint_module
from verl_df.judges.circuit import CircuitBreaker
from verl_df.judges.endpoint import Endpoint, EndpointConfig, EndpointFailure, FailureReason

Outcome = str | FailureReason


def configured(url: str, **settings: Any) -> EndpointConfig:
    return EndpointConfig(**{"base_url": url, "model": MODEL, "timeout_s": PATIENT_S, "max_retries": 0, **settings})


def ask_all(endpoint: Endpoint, count: int, parse: Callable[[str], str] = str) -> list[Outcome]:
    """Outcomes of `count` calls at the same time, in an event loop of their own."""

    async def one(number: int) -> Outcome:
        try:
            return await endpoint.ask(f"question {number}", [], parse)
        except EndpointFailure as failure:
            return failure.reason

    async def run() -> list[Outcome]:
        try:
            return await asyncio.gather(*map(one, range(count)))
        finally:
            await endpoint.aclose()

    return asyncio.run(run())


def refuses(text: str) -> str:
    raise ValueError(f"not what was asked for: {text}")


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        (body("oh no", status=500), FailureReason.HTTP_ERROR),
        (body("too long", status=400), FailureReason.HTTP_ERROR),
        (hangs_up, FailureReason.UNREACHABLE),
        (says(None), FailureReason.EMPTY),
        (says(" \n"), FailureReason.EMPTY),
        (body('{"choices": []}'), FailureReason.EMPTY),
        (body('{"id": "1"}'), FailureReason.EMPTY),
        (body('{"choices": [{}]}'), FailureReason.EMPTY),
        (body('{"choices": "none"}'), FailureReason.EMPTY),
        (body("[1, 2]"), FailureReason.UNPARSABLE),
        (body('{"choices": [{"mess'), FailureReason.UNPARSABLE),
        (body("<html>welcome</html>", kind="text/html"), FailureReason.UNPARSABLE),
    ],
)
def test_each_kind_of_trouble_has_its_reason(behaviour: Behaviour, reason: FailureReason) -> None:
    with serve(behaviour) as server:
        endpoint = Endpoint(configured(server.url))
        assert ask_all(endpoint, 1) == [reason]
    assert endpoint.counts == {reason: 1}


@pytest.mark.parametrize("behaviour", [hangs, drips])
def test_an_answer_that_never_ends_is_a_timeout(behaviour: Behaviour) -> None:
    with serve(behaviour) as server:
        endpoint = Endpoint(configured(server.url, timeout_s=IMPATIENT_S))
        assert ask_all(endpoint, 1) == [FailureReason.TIMEOUT]
    assert endpoint.counts == {"timeout": 1}


def test_nobody_there() -> None:
    endpoint = Endpoint(configured(f"http://127.0.0.1:{unused_port()}/v1"))
    assert ask_all(endpoint, 1) == [FailureReason.UNREACHABLE]


def test_an_answer_that_the_caller_cannot_parse() -> None:
    with serve(says("nonsense")) as server:
        endpoint = Endpoint(configured(server.url))
        assert ask_all(endpoint, 3, refuses) == [FailureReason.UNPARSABLE] * 3
    assert endpoint.counts == {"unparsable": 3}
    assert endpoint.summary() == "unparsable 3"


def test_a_busy_endpoint_is_asked_again_and_the_retries_are_counted() -> None:
    with serve(first(429, 2, "now")) as server:
        endpoint = Endpoint(configured(server.url, max_retries=2))
        assert ask_all(endpoint, 1) == ["now"]
        assert len(server.requests) == 3
    assert endpoint.counts == {"ok": 1, "retries": 2}


def test_waits_between_retries_are_inside_the_limit() -> None:
    """Ten waits of 50 seconds would be more than a test may take."""

    async def come_back_in_a_minute(server: FakeEndpoint, request: Any) -> Any:
        response = await body("busy", status=429)(server, request)
        response.headers["retry-after"] = "50"
        return response

    with serve(come_back_in_a_minute) as server:
        endpoint = Endpoint(configured(server.url, max_retries=10, timeout_s=IMPATIENT_S))
        assert ask_all(endpoint, 1) == [FailureReason.TIMEOUT]


def test_concurrency_is_bounded_and_used() -> None:
    with serve(says("yes", after_s=0.02, together=7)) as server:
        endpoint = Endpoint(configured(server.url, max_concurrency=7))
        assert ask_all(endpoint, 100) == ["yes"] * 100
        assert server.most_at_once == 7
    assert endpoint.counts == {"ok": 100}


def test_waiting_for_a_slot_does_not_count_as_time_of_the_call() -> None:
    with serve(says("yes", after_s=0.5)) as server:
        endpoint = Endpoint(configured(server.url, max_concurrency=1, timeout_s=4))
        assert ask_all(endpoint, 10) == ["yes"] * 10


def test_one_endpoint_serves_several_event_loops() -> None:
    with serve(says("yes", after_s=0.02)) as server:
        endpoint = Endpoint(configured(server.url, max_concurrency=2))
        assert [ask_all(endpoint, 5) for _ in range(3)] == [["yes"] * 5] * 3
        # the loops before were closed with their connections; one that is not is forgotten with its loop
        asyncio.run(endpoint.ask("again", [], str))
        assert ask_all(endpoint, 2) == ["yes"] * 2
    assert endpoint.counts == {"ok": 18}


def test_an_endpoint_that_hangs_is_skipped_and_stalls_nobody() -> None:
    breaker = {"breaker_failures": 4, "breaker_cool_down_s": 3600.0}
    with serve(hangs) as server:
        endpoint = Endpoint(configured(server.url, max_concurrency=4, timeout_s=IMPATIENT_S, **breaker))
        outcomes = ask_all(endpoint, 100)
        assert len(server.requests) <= 8  # and not 100, four at a time
    assert set(outcomes) == {FailureReason.TIMEOUT, FailureReason.SKIPPED}
    assert endpoint.counts["skipped"] >= 92
    assert sum(endpoint.counts.values()) == 100


def test_requests_at_fault_do_not_open_the_circuit() -> None:
    with serve(body("too long", status=400)) as server:
        endpoint = Endpoint(configured(server.url, max_concurrency=1, breaker_failures=2))
        assert ask_all(endpoint, 8) == [FailureReason.HTTP_ERROR] * 8


def test_the_circuit_closes_when_the_endpoint_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(endpoint_module, "CircuitBreaker", partial(CircuitBreaker, clock=lambda: now[0]))
    with serve(first(500, 3, "back")) as server:
        endpoint = Endpoint(configured(server.url, max_concurrency=1, breaker_failures=3, breaker_cool_down_s=30.0))
        assert ask_all(endpoint, 5) == [FailureReason.HTTP_ERROR] * 3 + [FailureReason.SKIPPED] * 2
        now[0] = 30.0
        assert ask_all(endpoint, 3) == ["back"] * 3


def test_the_breaker_lets_one_probe_out_after_the_cool_down() -> None:
    now = [0.0]
    breaker = CircuitBreaker(2, 10.0, lambda: now[0])
    breaker.failed()
    assert breaker.allows_call()
    breaker.succeeded()
    breaker.failed()
    assert breaker.allows_call()  # not in a row
    breaker.failed()
    assert not breaker.allows_call()
    now[0] = 9.9
    assert not breaker.allows_call()
    now[0] = 10.0
    assert [breaker.allows_call() for _ in range(3)] == [True, False, False]
    breaker.failed()
    now[0] = 19.9
    assert not breaker.allows_call()
    now[0] = 20.0
    assert breaker.allows_call()
    breaker.succeeded()
    assert breaker.allows_call() and breaker.allows_call()


def test_what_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUDGE_KEY", "secret")
    image = Image.new("RGBA", (5, 3), (250, 10, 20, 255))
    schema = {"type": "object"}
    with serve(says("yes")) as server:
        endpoint = Endpoint(configured(server.url, api_key_env="JUDGE_KEY", max_tokens=33, temperature=0.5))
        assert asyncio.run(endpoint.ask("which?", [image, image], str, schema)) == "yes"
        asyncio.run(endpoint.ask("which?", [], str))
        sent, plain = server.requests
        assert server.headers[0]["Authorization"] == "Bearer secret"
    assert (sent["model"], sent["max_tokens"], sent["temperature"]) == (MODEL, 33, 0.5)
    assert sent["response_format"]["json_schema"]["schema"] == schema
    assert "response_format" not in plain
    (message,) = sent["messages"]
    assert [part["type"] for part in message["content"]] == ["image_url", "image_url", "text"]
    assert message["content"][2]["text"] == "which?"
    head, _, data = message["content"][0]["image_url"]["url"].partition(",")
    assert head == "data:image/png;base64"
    received = Image.open(io.BytesIO(base64.b64decode(data)))
    assert (received.format, received.mode, received.size, received.getpixel((4, 2))) == (
        "PNG",
        "RGB",
        (5, 3),
        (250, 10, 20),
    )


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"base_url": "localhost:8000"}, "write a URL such as"),
        ({"model": ""}, "model is empty"),
        ({"api_key_env": "NO_SUCH_VARIABLE"}, "api_key_env=NO_SUCH_VARIABLE: no such environment variable"),
        ({"timeout_s": 0.0}, "timeout_s=0.0: must be more than 0"),
        ({"max_retries": -1}, "max_retries=-1: must be at least 0"),
        ({"max_concurrency": 0}, "max_concurrency=0"),
        ({"breaker_failures": 0}, "breaker_failures=0"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Endpoint(configured("http://127.0.0.1:1/v1", **settings))


def check(endpoint: Endpoint) -> None:
    asyncio.run(endpoint.check())


def test_the_early_check() -> None:
    with serve(says("yes")) as server:
        check(Endpoint(configured(server.url)))
        with pytest.raises(ValueError, match=rf"has no model 'other'; it serves \['{MODEL}'\]"):
            check(Endpoint(configured(server.url, model="other")))
        with pytest.raises(EndpointFailure, match=r"http_error: endpoint http://.*/nothing: 404"):
            check(Endpoint(configured(server.url.replace("/v1", "/nothing"))))
    with pytest.raises(EndpointFailure, match=r"unreachable: endpoint http://127.0.0.1:.*/v1: "):
        check(Endpoint(configured(f"http://127.0.0.1:{unused_port()}/v1")))


@pytest.mark.parametrize("models", [{}, {"data": []}, [], {"data": "none"}, completion("x")])
def test_the_early_check_of_something_else(models: Any) -> None:
    with serve(says("yes"), models) as server, pytest.raises(EndpointFailure, match="does base_url end in /v1"):
        check(Endpoint(configured(server.url)))
