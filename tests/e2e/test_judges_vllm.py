# SPDX-License-Identifier: Apache-2.0
"""Judge, auditor and evaluation against a real OpenAI-compatible server: vLLM's, with the toy's policy on the CPU.

The model cannot judge. Its verdicts are noise, and what is tested is the protocol: images, answers held to the schema,
concurrency, counting, HTTP errors and time limits. What it can do is answer the toy's problems.
"""

import asyncio
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.e2e.served import served
from verl_df.judges.auditor import SCHEMA, Audit, Auditor, AuditorConfig
from verl_df.judges.endpoint import Endpoint, EndpointConfig, EndpointFailure
from verl_df.judges.llm_judge import JudgeConfig, LLMJudge, Verdict
from verl_df.platform import warm
from verl_df.platform.environment import cpu_environment

MODEL = "judge"
# The packaged prompts are longer than what the toy's model is made for; its answers are noise anyway.
MODEL_LENGTH = 2048
IMAGE = Image.new("RGB", (84, 84), (200, 30, 30))


@pytest.fixture(scope="module")
def server(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Base URL of a running server; its process group is ended afterwards."""
    longer = json.dumps({"text_config": {"max_position_embeddings": MODEL_LENGTH}})
    # JSON allows any white space between its words, and a poor model can write nothing else up to its limit.
    decoding = json.dumps({"backend": "xgrammar", "disable_any_whitespace": True})
    options = ["--max-model-len", str(MODEL_LENGTH), "--hf-overrides", longer, "--structured-outputs-config", decoding]
    with served(world / "policy", MODEL, tmp_path_factory.mktemp("server"), *options) as running:
        yield running.url


def endpoint(url: str, **settings: Any) -> EndpointConfig:
    values = {"base_url": url, "model": MODEL, "timeout_s": 120.0, "max_concurrency": 4, "max_tokens": 400}
    return EndpointConfig(**{**values, **settings})


async def audit(auditor: Auditor, number: int) -> Audit:
    return await auditor.audit(
        f"<image>\nHow many figures are red? ({number})", [IMAGE], "Two. \\boxed{2}", "Three. \\boxed{3}", "3", None
    )


def test_the_early_check(server: str) -> None:
    asyncio.run(Endpoint(endpoint(server)).check())
    with pytest.raises(ValueError, match=rf"has no model 'other'; it serves \['{MODEL}'\]"):
        asyncio.run(Endpoint(endpoint(server, model="other")).check())


def test_verdicts_of_the_judge(server: str) -> None:
    judge = LLMJudge(JudgeConfig(endpoint=endpoint(server)))

    async def run() -> list[Verdict]:
        calls = [judge.judge(f"<image>\nHow many? ({i})", [IMAGE], f"\\boxed{{{i}}}", "3") for i in range(8)]
        return await asyncio.gather(*calls)

    verdicts = asyncio.run(run())
    counts = judge.endpoint.counts
    assert counts["ok"] == sum(verdict.failure is None for verdict in verdicts)
    assert counts["ok"] + counts["unparsable"] == 8  # noise can be longer than the limit
    assert {verdict.r_task for verdict in verdicts} <= {0.0, 1.0}


def test_answers_keep_to_the_schema(server: str) -> None:
    """vLLM enforces it token by token; what it cannot enforce, that hacking goes with a mode, is the parser's."""
    evidence = {"type": "string", "maxLength": 20}
    schema = {**SCHEMA, "properties": {**SCHEMA["properties"], "evidence": evidence}}
    plain = Endpoint(endpoint(server))

    async def run() -> list[dict]:
        questions = [plain.ask(f"Audit number {i}.", [IMAGE], json.loads, schema) for i in range(4)]
        return await asyncio.gather(*questions)

    for answer in asyncio.run(run()):
        assert set(answer) == {"evidence", "failure_mode", "hacking"}
        assert isinstance(answer["hacking"], bool) and len(answer["evidence"]) <= 20
        assert answer["failure_mode"] in SCHEMA["properties"]["failure_mode"]["enum"]


def test_audits_are_findings_or_counted_failures(server: str) -> None:
    auditor = Auditor(AuditorConfig(enabled=True, endpoint=endpoint(server, temperature=1.0)))

    async def run() -> list[Audit]:
        return await asyncio.gather(*(audit(auditor, number) for number in range(12)))

    audits = asyncio.run(run())
    assert auditor.endpoint is not None
    counts = auditor.endpoint.counts
    assert counts["ok"] == sum(item.failure is None for item in audits)
    assert counts["unparsable"] == sum(item.failure == "unparsable" for item in audits)
    assert counts["ok"] + counts["unparsable"] == 12
    for item in audits:
        assert item.g_aud == (1 if item.failure else int(not item.hacking))


def test_a_prompt_that_is_too_long_is_an_http_error(server: str) -> None:
    too_long = Endpoint(endpoint(server))
    with pytest.raises(EndpointFailure, match="http_error: 400"):
        asyncio.run(too_long.ask("word " * 3000, [], str))
    assert too_long.counts == {"http_error": 1}


def test_an_impatient_caller_gets_a_timeout(server: str) -> None:
    hasty = Endpoint(endpoint(server, timeout_s=0.001, max_retries=0))
    with pytest.raises(EndpointFailure, match="timeout: no answer in 0.001 s"):
        asyncio.run(hasty.ask("Count to a thousand.", [IMAGE], str))
    assert hasty.counts == {"timeout": 1}


def test_the_evaluation_of_a_served_policy(server: str, world: Path, tmp_path: Path) -> None:
    """Half of the toy's problems is what the policy can do; without their pictures it would be far less."""
    command = [warm.python(), "-m", "verl_df", "eval", "run", "--model", f"policy={MODEL}", "--server", server]
    command += ["--data", f"toy={world}/data/val.parquet", "--limit", "64", "--greedy", "--max-tokens", "64"]
    command += ["--reward-path", "pkg://verl_df.lab.toy.reward", "--out", str(tmp_path)]
    done = subprocess.run(command, env={**os.environ, **cpu_environment()}, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    accuracy = json.loads((tmp_path / "evaluation.json").read_text())["data"]["toy"]["figures"]["accuracy"]["mean"]
    assert 0.3 < accuracy < 0.7
    assert len((tmp_path / "samples.jsonl").read_text().splitlines()) == 64
