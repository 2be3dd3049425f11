# SPDX-License-Identifier: Apache-2.0
"""What a vLLM server counts while it decodes with drafts, as `df/repair/*` metrics of a step."""

import urllib.request
from collections.abc import Iterable

from prometheus_client.parser import text_string_to_metric_families

_TIMEOUT_S = 30.0
# The counters of vLLM's /metrics page that are read.
_DRAFTED, _ACCEPTED = "vllm:spec_decode_num_draft_tokens_total", "vllm:spec_decode_num_accepted_tokens_total"
_GENERATED, _PASSES = "vllm:generation_tokens_total", "vllm:iteration_tokens_total_count"
# A sequence's first pass with a token, and all its later ones: each is one observation, however many tokens it brings.
_FIRST, _LATER = "vllm:time_to_first_token_seconds_count", "vllm:inter_token_latency_seconds_count"
_READ = (_DRAFTED, _ACCEPTED, _GENERATED, _PASSES, _FIRST, _LATER)

Counts = dict[str, float]


def read_counts(page: str) -> Counts:
    """Counters of a /metrics page, summed over the engines behind it.

    Raises:
        KeyError: one is missing; vLLM renamed it, or serves without statistics.
    """
    samples = [sample for family in text_string_to_metric_families(page) for sample in family.samples]
    found = {sample.name for sample in samples}
    if missing := [name for name in _READ if name not in found]:
        raise KeyError(f"vLLM's /metrics has no {', '.join(missing)}")
    return {name: sum(sample.value for sample in samples if sample.name == name) for name in _READ}


def repair_metrics(before: Counts, after: Counts) -> dict[str, float]:
    """Metrics of what happened between two readings.

    Returns:
        df/repair/draft_tokens, df/repair/accepted_tokens: proposed, and accepted of them, those past an end token
        included; df/repair/forward_passes: of the engines, those that read prompts included; df/repair/tokens_per_pass:
        of one sequence, 1 without an accepted token. The last is left out where nothing was generated.
    """
    drafted, accepted, generated, passes, first, later = (after[name] - before[name] for name in _READ)
    metrics = {
        "df/repair/draft_tokens": drafted,
        "df/repair/accepted_tokens": accepted,
        "df/repair/forward_passes": passes,
    }
    if generated:
        metrics["df/repair/tokens_per_pass"] = generated / (first + later)
    return metrics


class EngineCounters:
    """Reads the counters of some servers, again and again.

    Args:
        addresses: host:port of each server.
    """

    def __init__(self, addresses: Iterable[str]) -> None:
        self._addresses = list(addresses)
        self._last: Counts = self._read()

    def metrics(self) -> dict[str, float]:
        """`repair_metrics` since the last call, or since the start.

        Raises:
            OSError: a server does not answer.
        """
        before, self._last = self._last, self._read()
        return repair_metrics(before, self._last)

    def _read(self) -> Counts:
        pages = [read_counts(_fetch(f"http://{address}/metrics")) for address in self._addresses]
        return {name: sum(page[name] for page in pages) for name in _READ}


def _fetch(url: str) -> str:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy of the user's is for other hosts
    with direct.open(url, timeout=_TIMEOUT_S) as response:
        return response.read().decode()
