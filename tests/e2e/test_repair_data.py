# SPDX-License-Identifier: Apache-2.0
"""The repair-data tool and the repair evaluation on vLLM's offline engine: from the toy's policy to figures."""

import json
import os
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from tests.e2e.conftest import ROOT
from verl_df.lab.toy.truth import exact_repair
from verl_df.platform import warm
from verl_df.platform.environment import cpu_environment

COMMAND_SECONDS = 400
REWARD = ["--reward-path", "pkg://verl_df.lab.toy.reward"]
ENGINE = ["--dtype", "float32", "--max-model-len", "512"]
ENGINE += [
    part
    for setting in ("enforce_eager=true", "kv_cache_memory_bytes=134217728", "skip_mm_profiling=true")
    for part in ("--engine", setting)
]


def tool(module: str, *arguments: str | Path) -> str:
    command = [warm.python(), "-m", "verl_df", module, *map(str, arguments)]
    environment = {**os.environ, **cpu_environment()}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, errors="replace", timeout=COMMAND_SECONDS
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def repair_set(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set sampled from the policy, its y* computed, imported and written as parquet."""
    folder = tmp_path_factory.mktemp("repair_set") / "set"
    sampling = ["--prompts", "24", "--per-prompt", "8", "--max-tokens", "48", "--seed", "1"]
    data = ["--model", world / "policy", "--data", world / "data/train.parquet", "--out", folder]
    tool("repair-data", "sample", *data, *sampling, *REWARD, *ENGINE)
    tool("repair-data", "targets", folder, "--function", "pkg://verl_df.lab.toy.truth:exact_repair")
    tool("repair-data", "import", folder, folder / "annotations.jsonl")
    files = ["--out-sft", folder / "sft.parquet", "--out-rl", folder / "tasks.parquet"]
    tool("repair-data", "parquet", folder, *files, "--held-out", "0.3", "--out-val", folder / "val.parquet")
    return folder


def test_samples_are_wrong_responses_with_a_right_reference(repair_set: Path) -> None:
    summary = json.loads((repair_set / "summary.json").read_text())
    samples = [json.loads(line) for line in (repair_set / "samples.jsonl").read_text().splitlines()]
    assert 0 < len(samples) < 24 * 8 and str(len(samples)) in json.dumps(summary)
    assert all(sample["reference_kind"] == "sibling" for sample in samples)
    assert all(f"\\boxed{{{sample['ground_truth']}}}" in sample["reference"] for sample in samples)
    assert not any(f"\\boxed{{{sample['ground_truth']}}}" in sample["response"] for sample in samples)


def test_sft_rows_hold_the_exact_repairs(repair_set: Path) -> None:
    repairs = [json.loads(line) for line in (repair_set / "repairs.jsonl").read_text().splitlines()]
    assert repairs
    for repair in repairs:
        assert repair["target"] == exact_repair(repair["response"], repair["extra_info"]) != repair["response"]
    rows = pd.read_parquet(repair_set / "sft.parquet").to_dict("records")
    by_prompt = {(repair["response"], repair["reference"]): repair["target"] for repair in repairs}
    for row in rows:
        (asked, answered) = (message["content"] for message in row["messages"])
        fitting = {target for parts, target in by_prompt.items() if all(part in asked for part in parts)}
        assert answered in fitting
    assert 0 < len(rows) < len(repairs)  # held-out prompts are not trained on


def test_no_prompt_is_both_trained_on_and_held_out(repair_set: Path) -> None:
    trained, held_out = (pd.read_parquet(repair_set / f"{name}.parquet") for name in ("tasks", "val"))
    assert len(trained) and len(held_out)
    pictures = [{row[0]["bytes"] for row in part["images"]} for part in (trained, held_out)]
    assert not pictures[0] & pictures[1]


def test_evaluation_tells_the_repair_model_from_answering_again(world: Path, repair_set: Path, tmp_path: Path) -> None:
    out = tmp_path / "evaluation"
    models = ["--repair", f"stage1={world / 'repair'}", "--policy", world / "policy"]
    given = ["--data", world / "repair_tasks/val.parquet", "--limit", "64", "--seeds", "1", "--max-tokens", "64"]
    truth = ["--truth-path", "pkg://verl_df.lab.toy.truth", "--image-removal", "blank"]
    page = tool("repair-eval", *given, *models, *truth, *REWARD, *ENGINE, "--out", out)
    assert "stage1" in page and (out / "repair_eval.svg").is_file()
    rows = json.loads((out / "repair_eval.json").read_text())["figures"]
    figures = {row["method"]: row["figures"] for row in rows}
    repaired = figures.pop("stage1")
    again = next(row for name, row in figures.items() if "again" in name)
    assert repaired["acc_at_1"]["estimate"] > again["acc_at_1"]["estimate"] + 0.2
    assert repaired["mask_precision"]["estimate"] > 0.9 and repaired["mask_recall"]["estimate"] > 0.9
    assert repaired["survival_shown"]["estimate"] < 0.6  # it looks at the picture
