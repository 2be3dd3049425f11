# SPDX-License-Identifier: Apache-2.0
"""A dry run: every launch script passes, and what is wrong is one line."""

import os
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.unit.launch_support import ROOT, arguments
from verl_df.cli import main
from verl_df.lab.dry_run.memory import check_memory, estimate
from verl_df.lab.dry_run.models import KNOWN_MODELS, ModelSizes, model_sizes
from verl_df.lab.dry_run.report import describe
from verl_df.lab.dry_run.run import dry_run
from verl_df.lab.dry_run.sizes import RunSizes, check_sizes
from verl_df.lab.tiny import ARCHITECTURES, save_tiny_model
from verl_df.lab.tiny.data import write_rows
from verl_df.settings.config import ConfigError

SCRIPTS = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "examples").glob("*_*/run_*.sh"))
HARDWARE = (ROOT / "docs/models.md").read_text().split("## Hardware")[1].splitlines()
BASELINES = ("dapo", "gspo", "grpo", "ppo")

MODEL = ModelSizes("qwen2_5_vl", 1e9, 10, 1000, 8, 2, 100, 50_000, 10_000)
RUN = RunSizes(
    nodes=1,
    gpus=4,
    prompts=32,
    rollouts=8,
    mini_batch=16,
    sequence_parallel=1,
    tensor_parallel=2,
    prompt=1000,
    response=500,
    update_tokens=2000,
    log_prob_tokens=4000,
    longest=1500,
    memory_share=0.5,
    offload=True,
    lora=False,
    critic=False,
    repairs=2,
    colocated=True,
    repair_prompt=2256,
    drafts=254,
)


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_launch_script_passes(script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # no model or data of ours is here
    given = arguments(script, tmp_path, DRY_RUN="1")
    assert given[:3] == ["-m", "verl_df", "check"]
    lines = dry_run(given[3], given[4:], gpu=80)
    assert any("-> a tiny" in line for line in lines) and any(line.startswith("step:") for line in lines)
    assert not (tmp_path / "out").exists()
    name = script.removeprefix("examples/").replace("_trainer", "").removesuffix("_fsdp.sh")
    rows = [row for row in HARDWARE if row.startswith(f"| `{name}`")]
    assert all(_figures(lines) in row for row in rows)
    assert bool(rows) == script.startswith("examples/df_")


def _figures(lines: list[str]) -> str:
    """As docs/models.md shows them."""
    text = " ".join(line for line in lines if line.startswith("memory")).replace(",", "")
    _, states, batch, _, engine, weights, responses, host = re.findall(r"(?<![\w.])\d+(?:\.\d+)?", text)
    return f"| {states} + {batch} | {engine} / {weights} | {responses} | {host} |"


def test_there_is_a_script_for_every_model_and_a_baseline_for_every_df_script() -> None:
    assert len(SCRIPTS) == 24
    for algorithm in BASELINES:
        ours, theirs = (os.listdir(ROOT / f"examples/{kind}_trainer") for kind in (f"df_{algorithm}", algorithm))
        assert set(ours) == set(theirs) != set()
    assert {name.removesuffix("_fsdp.sh") for name in os.listdir(ROOT / "examples/repair_rl")} == {
        name.removesuffix("_fsdp.sh") for name in os.listdir(ROOT / "examples/repair_sft")
    }


@pytest.mark.parametrize("script", [script for script in SCRIPTS if "/df_" in script])
def test_the_baseline_is_stock_verl_with_the_same_run(script: str, tmp_path: Path) -> None:
    """All but what makes the method, the names and the folder of the run."""
    changed = {"TRAIN": "t.parquet", "ROLLOUTS": "5", "TOKENS_PER_GPU": "7000"}
    ours, theirs = (
        arguments(name, tmp_path, DRY_RUN="1", **changed) for name in (script, script.replace("df_", "", 1))
    )
    assert theirs[3:5] == ["verl.trainer.main_ppo", "hydra.searchpath=[pkg://recipe.df.config]"]
    assert ours[3] == "recipe.df.main_df"
    method = ("df.", "objective=", "baseline=", "hydra.", "trainer.experiment_name")
    kept = [
        [word.lstrip("+") for word in given[4:] if not word.lstrip("+").startswith(method)] for given in (ours, theirs)
    ]
    assert kept[0] == kept[1]
    assert kept[0][0].startswith("run=[") and {"data.train_files=t.parquet", "actor_rollout_ref.rollout.n=5"} < set(
        kept[0]
    )


def test_from_the_command_line() -> None:
    """The one run through the script's real Python: what a user sees."""
    environment = {**os.environ, "DRY_RUN": "1"}
    script = "examples/df_gspo_trainer/run_qwen2_5_vl_7b_fsdp.sh"
    done = subprocess.run(["bash", script], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "dry run of recipe.df.main_df: passed, nothing was started" in done.stdout
    assert "128 prompts x 8 rollouts = 1,024 responses" in done.stdout


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("df.repair.m=2", "unknown key 'df.repair.m'"),
        ("objective=df_gpso", "df_gspo"),
        ("actor_rollout_ref.actor.ppo_mini_batch_size=48", "not a multiple of"),
        ("actor_rollout_ref.rollout.tensor_model_parallel_size=3", "tensor_model_parallel_size = 3"),
        ("actor_rollout_ref.actor.ppo_max_token_len_per_gpu=6000", "does not fit into a micro-batch: at least 6144"),
        ("actor_rollout_ref.model.path=Qwen/Qwen9-VL", "a dry run knows no sizes of it"),
        ("data.no_such_key=1", "no_such_key"),
        ("df.group.reward_threshold=2", "reward_threshold"),
    ],
)
def test_what_is_wrong_is_one_line(override: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    given = arguments("examples/df_gspo_trainer/run_qwen2_5_vl_7b_fsdp.sh", tmp_path, override, DRY_RUN="1")
    assert main(given[2:]) == 1
    shown = capsys.readouterr()
    assert shown.out.count("passed, nothing was started") == 0 and "Traceback" not in shown.err
    assert shown.err.splitlines()[-1].startswith("error: ") and message in shown.err


def test_a_token_of_the_model_in_a_question_is_found(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """By the tokenizer of the model that is run: an InternVL's is text to a Qwen."""
    for token, code in (("<|image_pad|>", 1), ("<IMG_CONTEXT>", 0)):
        path = tmp_path / f"{code}.parquet"
        write_rows("rl", 4, path)
        rows = pq.read_table(path).to_pylist()
        rows[2]["prompt"][-1]["content"] += f" What does {token} mean?"
        pq.write_table(pa.Table.from_pylist(rows), path)
        script = "examples/df_gspo_trainer/run_qwen2_5_vl_7b_fsdp.sh"
        given = arguments(script, tmp_path, f"data.train_files={path}", DRY_RUN="1")
        assert main(given[2:]) == code
        if code:
            said = f"error: data.train_files: {path}, row 2: prompt: {token}"
            assert capsys.readouterr().err.splitlines()[-1] == said


def test_another_module_is_refused() -> None:
    with pytest.raises(ConfigError, match="a dry run knows recipe.df.main_df"):
        dry_run("recipe.df.main", [], gpu=80)


def test_sizes_that_go_together() -> None:
    check_sizes(RUN, MODEL)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mini_batch": 5}, "data.train_batch_size = 32 is not a multiple"),
        ({"tensor_parallel": 3}, "GPUs"),
        ({"gpus": 16, "tensor_parallel": 16}, "attention heads = 8 is not a multiple"),
        ({"gpus": 3, "tensor_parallel": 1}, "ranks = 3"),
        ({"update_tokens": 1499}, "at least 1500"),
        ({"log_prob_tokens": 1499}, "log_prob_max_token_len_per_gpu=1499"),
        ({"repair_prompt": 9247}, "a repair with its drafts can have 10001 tokens"),
        (
            {"prompt": 9501, "update_tokens": 99999, "log_prob_tokens": 99999},
            "a prompt and its response can have 10",
        ),
    ],
)
def test_sizes_that_do_not(change: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_sizes(replace(RUN, **change), MODEL)


def test_a_shared_sequence_fits_into_smaller_micro_batches() -> None:
    check_sizes(replace(RUN, sequence_parallel=2, update_tokens=750, log_prob_tokens=750), MODEL)


def test_memory_by_hand() -> None:
    memory = estimate(RUN, MODEL, gpu=10)
    assert memory.update == pytest.approx(1e9 * 16 / 4 / 1e9)
    assert memory.update_batch == pytest.approx((2000 * 10 * 1000 * 2 + 2000 * 50_000 * 6) / 1e9)
    assert memory.resident == 0 and memory.engine == pytest.approx(1.0)
    # 5 GB for vLLM less 1 GB of weights; a token takes 2 x 10 layers x 2 heads x 100 x 2 bytes, halved by two GPUs
    assert memory.responses == int(4e9 / (4000 * 1500))
    # 16 GB of states, and the repair model's weights in each of two engines, in pinned memory
    assert memory.host == pytest.approx(1.85 * (16 + 2 * 2))
    # with adapters the policy's engines keep their weights, too; the states are the weights in float32
    assert estimate(replace(RUN, lora=True), MODEL, gpu=10).host == pytest.approx(1.85 * (4 + 2 * 2 * 2))
    assert estimate(replace(RUN, offload=False), MODEL, gpu=10).resident == pytest.approx(4.0)
    assert estimate(replace(RUN, critic=True), MODEL, gpu=10).update == pytest.approx(8.0)
    assert estimate(replace(RUN, lora=True), MODEL, gpu=10).update == pytest.approx(1.0)
    assert estimate(RUN, MODEL, gpu=1).responses == 0  # the weights alone do not fit


def test_a_sequence_that_vllm_cannot_hold_is_refused_with_the_number() -> None:
    check_memory(replace(RUN, longest=1_000_000), MODEL, gpu=10)  # 4 GB for 4000 bytes a token, as above
    with pytest.raises(ConfigError, match=r"1,000,001 tokens take 4.0 GB of each GPU, and 4.0 GB are left"):
        check_memory(replace(RUN, longest=1_000_001), MODEL, gpu=10)
    with pytest.raises(ConfigError, match=f"max_model_len=None: .* of {MODEL.context:,} tokens"):
        check_memory(replace(RUN, longest=None), replace(MODEL, layers=100_000), gpu=10)


def test_qwen3_vl_without_a_limit_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """Its context is 262,144 tokens, and vLLM would find that out after minutes."""
    unlimited = "actor_rollout_ref.rollout.max_model_len=null"
    given = arguments("examples/df_gspo_trainer/run_qwen3_vl_8b_fsdp.sh", tmp_path, unlimited, DRY_RUN="1")
    assert main(given[2:]) == 1
    assert "one sequence of 262,144 tokens take 38.7 GB of each GPU, and 30.5 GB are left" in capsys.readouterr().err


def test_what_is_said_of_a_run() -> None:
    lines = describe(RUN, MODEL, gpu=10)
    assert lines[0] == "step: 32 prompts x 8 rollouts = 256 responses of up to 500 tokens; at most 256 x 2 repairs"
    assert lines[1] == "update: 16 prompts in each of 2 optimiser steps, 32 rollouts on each of 4 ranks"
    assert "repairs" not in describe(replace(RUN, repairs=0), MODEL, gpu=10)[0]


def test_sizes_of_a_folder_are_read(tmp_path: Path) -> None:
    parameters = save_tiny_model("internvl", tmp_path)
    sizes = model_sizes("model.path", str(tmp_path))
    assert (sizes.architecture, sizes.parameters, sizes.layers, sizes.head_dim) == ("internvl", parameters, 2, 32)


def test_known_models_have_a_stand_in() -> None:
    assert {sizes.architecture for sizes in KNOWN_MODELS.values()} == set(ARCHITECTURES)
