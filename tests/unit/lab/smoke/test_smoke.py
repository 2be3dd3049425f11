# SPDX-License-Identifier: Apache-2.0
"""The smoke test's own parts: what it would start on a GPU is checked without one, and its limits can fail."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests import ROOT
from verl_df.lab.dry_run.run import dry_run
from verl_df.lab.smoke import __main__ as program
from verl_df.lab.smoke.outcome import Check, Outcome
from verl_df.lab.smoke.runs import RUNS, command, judge
from verl_df.lab.smoke.settings import Shared
from verl_df.lab.tiny import CLASSES, qwen2_5_vl, save_tiny_model


@pytest.fixture(scope="module")
def on_gpu(tmp_path_factory: pytest.TempPathFactory) -> Shared:
    """A folder with the models that the parts would build, the large ones without weights."""
    shared = Shared(tmp_path_factory.mktemp("smoke"), gpu=True)
    for name in ("policy", "repair"):
        large = shared.folder / f"models/qwen2_5_vl_{name}_large"
        processor = qwen2_5_vl.save_large_processor(large, seed=0)
        config = qwen2_5_vl.build_large_config(processor.tokenizer)
        config.architectures = [CLASSES["qwen2_5_vl"]]
        config.save_pretrained(large)
    return shared


@pytest.mark.parametrize("name", RUNS)
def test_the_commands_for_a_gpu_pass_a_dry_run(name: str, on_gpu: Shared, tmp_path: Path) -> None:
    words, variables = command(name, on_gpu)
    show = tmp_path / "show"
    show.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
    show.chmod(0o755)
    environment = {"PATH": "/usr/bin:/bin", **variables, "PYTHON": str(show), "DRY_RUN": "1"}
    shown = subprocess.run(words, env=environment, check=True, capture_output=True, text=True).stdout.splitlines()
    assert shown[:4] == ["-m", "verl_df", "check", "recipe.df.main_df"]
    lines = dry_run(shown[3], shown[4:], gpu=80, host=200)
    assert "step: 8 prompts x 4 rollouts = 32 responses" in lines[0]
    assert any("1 replicas over 1 GPUs, 27.6 GiB" in line for line in lines)
    values = dict(word.split("=", 1) for word in shown[4:])
    assert values["actor_rollout_ref.rollout.calculate_log_probs"] == "True"
    assert "run" in values and "cpu" not in values["run"]  # packing and offload are the scripts'
    assert (values["objective"] == "df_gspo") == (name == "gspo")


def test_the_large_model_has_the_size_it_is_said_to_have(on_gpu: Shared) -> None:
    from verl_df.lab.dry_run.models import model_sizes

    sizes = model_sizes("", str(on_gpu.folder / "models/qwen2_5_vl_policy_large"))
    assert 1.6e9 < sizes.parameters < 1.8e9
    assert sizes.vision.image == 1600 and sizes.vocabulary == 151936


def test_pictures_of_the_large_model_have_400_tokens(on_gpu: Shared) -> None:
    from PIL import Image
    from transformers import AutoProcessor

    processor = AutoProcessor.from_pretrained(on_gpu.folder / "models/qwen2_5_vl_policy_large")
    image = Image.new("RGB", (84, 84), "red")
    ids = processor(text=["<|vision_start|><|image_pad|><|vision_end|>"], images=[image])["input_ids"][0]
    assert ids.count(processor.image_token_id) == 400


def test_other_large_models_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no large model of 'internvl': there is one of qwen2_5_vl"):
        save_tiny_model("internvl", tmp_path, large=True)


GOOD = {
    "training/rollout_probs_diff_mean": 1e-6,
    "training/rollout_probs_diff_max": 1e-5,
    "training/rollout_actor_probs_pearson_corr": 1.0,
    "actor/grad_norm": 2.0,
    "df/rollouts": 32.0,
    "df/repaired": 1.0,
    "df/repaired/ratio": 1.0,
    "df/policy/ratio": 1.0,
    "perf/max_memory_reserved_gb": 3.0,
}


@pytest.mark.parametrize(
    ("change", "failed"),
    [
        ({}, []),
        ({"training/rollout_probs_diff_max": 0.5}, ["rollout against actor, max"]),
        ({"training/rollout_actor_probs_pearson_corr": None}, ["rollout against actor, correlation"]),
        ({"actor/grad_norm": float("nan")}, ["gradient norm, least", "gradient norm, largest"]),
        ({"df/repaired/ratio": float("nan")}, ["ratio of the first mini-batch, from 1"]),
        ({"actor/grad_norm": 0.0}, ["gradient norm, least"]),
        ({"df/policy/ratio": 1.1}, ["ratio of the first mini-batch, from 1"]),
        ({"df/rollouts": 28.0}, ["rollouts of a step"]),
    ],
)
def test_a_run_is_judged_by_its_worst_step(change: dict[str, Any], failed: list[str], tmp_path: Path) -> None:
    second = {name: value for name, value in (GOOD | change).items() if value is not None}
    metrics = tmp_path / "metrics.jsonl"
    metrics.write_text("".join(json.dumps({"step": 1, "data": data}) + "\n" for data in (GOOD, second)))
    outcome = Outcome("grpo", gpu=True)
    judge(outcome, metrics, steps=2, gpu=True)
    assert [check.name for check in outcome.checks if not check.passed] == failed
    assert outcome.figures["perf/max_memory_reserved_gb"] == 3.0 and outcome.passed == (not failed)


def test_no_number_and_no_check_do_not_pass(tmp_path: Path) -> None:
    assert not Check("a", float("nan"), "<=", 1).passed and Check("a", 1, "<=", 1).passed
    empty = Outcome("engines", gpu=False)
    assert not empty.passed
    empty.check("a", 1, "==", 1)
    empty.figures = {"pinned_gib": 1.5, "seconds": 7.0}
    empty.write(tmp_path)
    shown = program.table(tmp_path)
    assert "| engines | passed | 7 | pinned_gib 1.5 |" in shown
    assert json.loads((tmp_path / "smoke.json").read_text())[0]["checks"][0]["passed"] is True


def test_every_part_of_the_script_is_known() -> None:
    script = (ROOT / "scripts/gpu_smoke.sh").read_text()
    (listed,) = [line for line in script.splitlines() if "|| parts=(" in line]
    assert set(listed.partition("parts=(")[2].rstrip(")").split()) == set(program.PARTS)
    page = " ".join((ROOT / "docs/first_launch.md").read_text().split())
    assert all(f"`{name}`" in page for name in program.PARTS) and "has not been run" in page
