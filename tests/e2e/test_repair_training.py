# SPDX-License-Identifier: Apache-2.0
"""Stage 2 with real vLLM: the repair model's reinforcement learning, beside an auditor that fails now and then.

Every second task shows its picture as a video.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from aiohttp import web
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText

from tests.e2e.conftest import ROOT
from tests.unit.clips import still
from tests.unit.endpoint_fake import MODEL, FakeEndpoint, completion, serve
from verl_df.judges.audit_log import AUDITS, AuditRecord

SCRIPT = ROOT / "examples/toy/run_toy_repair_rl.sh"
STEPS, TASKS, ROLLOUTS = 2, 8, 4
FRAMES = 4
HACKING = {"evidence": "none seen", "failure_mode": "template_shortcut", "hacking": True}
HONEST = {"evidence": "cells", "failure_mode": "none", "hacking": False}


async def moody(endpoint: FakeEndpoint, request: web.Request) -> web.StreamResponse:
    """Of four calls: an HTTP error, nonsense, a verdict of hacking, one of honesty."""
    turn = len(endpoint.requests) % 4
    if turn == 0:
        return web.Response(status=500, text="out of memory")
    text = "I would rather not say" if turn == 1 else json.dumps(HACKING if turn == 2 else HONEST)
    return web.json_response(completion(text))


@dataclass(frozen=True)
class Trained:
    """What the run left. metrics: by step. audits: of all reward workers. requests: bodies that the auditor got."""

    folder: Path
    log: str
    metrics: dict[int, dict[str, float]]
    audits: list[AuditRecord]
    requests: list[dict[str, Any]]


def half_of_them_clips(tasks: Path, mixed: Path) -> str:
    rows = pd.read_parquet(tasks).to_dict("records")
    for row in rows[::2]:
        question = row["prompt"][0]["content"].replace("<image>", "<video>")
        row["prompt"] = [{"role": "user", "content": question}]
        row["videos"], row["images"] = [still(row["images"][0]["bytes"], FRAMES)], None
    pd.DataFrame(rows).to_parquet(mixed)
    return str(mixed)


@pytest.fixture(scope="module")
def run(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    folder = tmp_path_factory.mktemp("repair_rl")
    sizes = {"STEPS": STEPS, "TASKS": TASKS, "ROLLOUTS": ROLLOUTS, "LR": "1e-3"}
    environment = {**os.environ, "WORLD": str(world), "STAGE1": str(world / "repair"), "OUT": str(folder)}
    environment |= {k: str(v) for k, v in sizes.items()}
    with serve(moody) as auditor:
        endpoint = {"base_url": auditor.url, "model": MODEL, "max_retries": 0, "breaker_failures": 100}
        overrides = [f"df.auditor.endpoint.{key}={value}" for key, value in endpoint.items()]
        data = f"data.train_files={half_of_them_clips(world / 'repair_tasks/train.parquet', folder / 'train.parquet')}"
        command = ["bash", str(SCRIPT), *overrides, data, "df.auditor.enabled=True", "data.val_max_samples=16"]
        with (folder / "output.log").open("w") as log:
            status = subprocess.run(command, env=environment, stdout=log, stderr=log).returncode
        requests = list(auditor.requests)
    text = (folder / "output.log").read_text(errors="replace")
    assert status == 0, f"exit status {status}\n{text[-6000:]}"
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    audits = [record for file in folder.glob("audits-*.jsonl") for record in AUDITS.read(file)]
    metrics = {entry["step"]: entry["data"] for entry in map(json.loads, lines)}
    yield Trained(folder, text, metrics, audits, requests)


def test_each_step_says_what_the_reward_was_made_of(run: Trained) -> None:
    for step in range(1, STEPS + 1):
        values = run.metrics[step]
        assert 0 < values["repair/r_task"] <= 1 and values["repair/edit_ratio"] > 0
        assert 0 <= values["repair/g_vis"] <= 1 and 0 < values["repair/g_aud"] < 1
        assert values["repair/removed_failed"] == 0 and values["repair/audit_failed"] > 0
        assert values["repair/r_rep"] == pytest.approx(values["critic/score/mean"], abs=1e-5)
        assert values["actor/grad_norm"] > 0


def test_right_repairs_were_audited_with_their_picture_or_the_frames_of_their_clip(run: Trained) -> None:
    assert run.audits and len(run.audits) == len(run.requests)
    assert all(record.r_task == 1 and record.counterfactual for record in run.audits)
    assert all((run.folder / "images" / name).is_file() for record in run.audits for name in record.images)
    asked = [request["messages"][-1]["content"] for request in run.requests]
    assert {sum(part["type"] == "image_url" for part in parts) for parts in asked} == {1, FRAMES}


def test_failed_audits_passed_and_were_counted(run: Trained) -> None:
    failures = [record.failure for record in run.audits if record.failure is not None]
    assert set(failures) == {"http_error", "unparsable"}
    assert all(record.g_aud == 1 for record in run.audits if record.failure is not None)
    assert {record.g_aud for record in run.audits if record.hacking} == {0}
    trained = sum(run.metrics[step]["repair/audit_failed"] for step in range(1, STEPS + 1))
    assert f"'repair/audit_failed': {int(trained)}" in run.log  # the line at the end of the run
    assert trained <= len(failures)  # validation asks too


def test_validation_gives_acc_at_1_and_2(run: Trained) -> None:
    for step in (0, STEPS):
        (single,) = (value for key, value in run.metrics[step].items() if key.endswith("/acc/mean@2"))
        (pair,) = (value for key, value in run.metrics[step].items() if key.endswith("/acc/best@2/mean"))
        assert 0 <= single <= pair <= 1


def test_the_trained_model_is_a_folder_for_the_policys_training(world: Path, run: Trained) -> None:
    before, after = load_file(world / "repair/model.safetensors"), load_file(run.folder / "model/model.safetensors")
    assert before.keys() == after.keys()
    assert any(not torch.equal(before[name], after[name].to(before[name].dtype)) for name in before)
    AutoModelForImageTextToText.from_pretrained(run.folder / "model")
