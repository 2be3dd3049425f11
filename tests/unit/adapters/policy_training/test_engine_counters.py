# SPDX-License-Identifier: Apache-2.0
"""Metrics of speculation, read from vLLM's page of counters."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from verl_df.adapters.policy_training.engine_counters import EngineCounters, read_counts, repair_metrics

NAMES = {
    "drafted": "vllm:spec_decode_num_draft_tokens_total",
    "accepted": "vllm:spec_decode_num_accepted_tokens_total",
    "generated": "vllm:generation_tokens_total",
}


def page(engines: int = 1, passes: int = 0, first: int = 0, later: int = 0, **counts: int) -> str:
    """As vLLM writes it: a value for each engine."""
    lines = []
    for key, name in NAMES.items():
        lines.append(f"# TYPE {name.removesuffix('_total')} counter")
        lines += [f'{name}{{engine="{engine}",model_name="m"}} {counts.get(key, 0)}.0' for engine in range(engines)]
    lines.append("# TYPE vllm:iteration_tokens_total histogram")
    lines.append('vllm:iteration_tokens_total_bucket{engine="0",le="+Inf",model_name="m"} 9.0')
    lines.append(f'vllm:iteration_tokens_total_count{{engine="0",model_name="m"}} {passes}.0')
    lines.append('vllm:iteration_tokens_total_sum{engine="0",model_name="m"} 900.0')
    for name, count in (("time_to_first_token", first), ("inter_token_latency", later)):
        lines.append(f"# TYPE vllm:{name}_seconds histogram")
        lines.append(f'vllm:{name}_seconds_count{{engine="0",model_name="m"}} {count}.0')
    return "\n".join(lines) + "\n"


def test_what_happened_between_two_readings() -> None:
    before = read_counts(page(passes=3, first=2, later=28, drafted=10, accepted=10, generated=40))
    after = read_counts(page(passes=9, first=4, later=51, drafted=110, accepted=85, generated=140))
    assert repair_metrics(before, after) == {
        "df/repair/draft_tokens": 100,
        "df/repair/accepted_tokens": 75,
        "df/repair/forward_passes": 6,
        "df/repair/tokens_per_pass": 4.0,
    }


def test_nothing_generated_has_no_tokens_per_pass() -> None:
    counts = read_counts(page(generated=5))
    assert "df/repair/tokens_per_pass" not in repair_metrics(counts, counts)


def test_engines_of_one_server_are_added_up() -> None:
    assert read_counts(page(engines=2, generated=7))[NAMES["generated"]] == 14


def test_a_page_without_the_counters_is_refused() -> None:
    with pytest.raises(KeyError, match="spec_decode_num_draft_tokens"):
        read_counts(page().replace("spec_decode", "other"))


class Handler(BaseHTTPRequestHandler):
    """Serves a page whose counts grow by one step with each request."""

    asked = 0

    def do_GET(self) -> None:
        Handler.asked += 1
        counts = {"passes": 1, "first": 1, "later": 2, "drafted": 8, "accepted": 6, "generated": 9}
        text = page(**{name: count * Handler.asked for name, count in counts.items()})
        self.send_response(200 if self.path == "/metrics" else 404)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture
def address() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_each_step_reports_its_own(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # an engine is not asked through it
    counters = EngineCounters([address])
    for _ in range(2):
        metrics = counters.metrics()
        assert (metrics["df/repair/draft_tokens"], metrics["df/repair/forward_passes"]) == (8, 1)
        assert metrics["df/repair/tokens_per_pass"] == 3.0
    assert EngineCounters([address, address]).metrics()["df/repair/accepted_tokens"] == 4 * 6  # of a shared counter


def test_a_server_that_is_gone_is_an_error(address: str) -> None:
    counters = EngineCounters([address])
    counters._addresses = ["127.0.0.1:9"]
    with pytest.raises(OSError):
        counters.metrics()
