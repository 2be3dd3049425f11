# SPDX-License-Identifier: Apache-2.0
"""A dry run: every launch script passes, and what is wrong is one line."""

import os
import subprocess
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.unit.launch_support import ROOT, arguments
from verl_df.cli import main
from verl_df.lab.dry_run.models import model_sizes
from verl_df.lab.dry_run.published import KNOWN_MODELS
from verl_df.lab.dry_run.run import dry_run
from verl_df.lab.tiny import ARCHITECTURES, save_tiny_model
from verl_df.lab.tiny.data import write_rows
from verl_df.settings.config import ConfigError

SCRIPTS = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "examples").glob("*_*/run_*.sh"))
BASELINES = ("dapo", "gspo", "grpo", "ppo")

ROLLOUT = "actor_rollout_ref.rollout"


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_launch_script_passes(script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # no model or data of ours is here
    given = arguments(script, tmp_path, DRY_RUN="1")
    assert given[:3] == ["-m", "verl_df", "check"]
    lines = dry_run(given[3], given[4:], gpu=80)
    assert any("-> a tiny" in line for line in lines) and any(line.startswith("step:") for line in lines)
    assert not (tmp_path / "out").exists()
    assert sum(line.startswith("FSDP, update: ") for line in lines) == 1
    engines = sum(line.startswith("vLLM, ") for line in lines)
    assert engines == (2 if "/df_" in script else 0 if "_sft/" in script else 1)


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


@pytest.mark.parametrize(
    ("script", "override", "messages"),
    [
        ("df_gspo_trainer/run_qwen2_5_vl_7b", f"{ROLLOUT}.tensor_model_parallel_size=3", ["= 8 is not", "= 3"]),
        ("df_gspo_trainer/run_qwen2_5_vl_7b", f"{ROLLOUT}.tensor_model_parallel_size=8", ["heads = 28 is not", "= 8"]),
        (
            "df_gspo_trainer/run_qwen2_5_vl_7b",
            "+df.repair.rollout.tensor_model_parallel_size=8",
            ["heads = 28 is not", "df.repair.rollout.tensor"],
        ),
        # vLLM would find the model's 262,144 tokens out after minutes
        (
            "df_gspo_trainer/run_qwen3_vl_8b",
            f"{ROLLOUT}.max_model_len=null",
            ["one sequence of 262,144 tokens take 36.0 GiB of each GPU, and 26.4 GiB are left", "set it to 6144"],
        ),
        (
            "df_gspo_trainer/run_qwen2_5_vl_7b",
            "df.repair.max_prompt_length=150000",
            ["a repair with its drafts can have 152302 tokens, and the model reads 128000"],
        ),
        (
            "df_gspo_trainer/run_qwen3_vl_8b",
            "df.repair.max_prompt_length=250000",
            ["df.repair.rollout.max_model_len=252302", "take 34.6 GiB", "df.repair.rollout.gpu_memory_utilization"],
        ),
        (
            "df_gspo_trainer/run_qwen2_5_vl_32b",
            "trainer.nnodes=1",
            ["update: 1", "the 62.3 GiB of states", "ppo_max_token_len_per_gpu=12288"],
        ),
        (
            "df_gspo_trainer/run_qwen2_5_vl_7b",
            "actor_rollout_ref.actor.fsdp_config.param_offload=False",
            ["rollout: ", "on a GPU that has 78.8", "gpu_memory_utilization"],
        ),
        (
            "repair_sft/run_qwen2_5_vl_7b",
            "data.max_token_len_per_gpu=65536",
            ["on a GPU that has 78.8", "data.max_token_len_per_gpu=65536"],
        ),
    ],
)
def test_what_would_not_start_is_refused_with_the_number(
    script: str, override: str, messages: list[str], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    extra = [override]
    if "param_offload" in override:  # then states and an engine's share lie on a GPU together
        extra.append(f"{ROLLOUT}.gpu_memory_utilization=0.85")
    given = arguments(f"examples/{script}_fsdp.sh", tmp_path, *extra, DRY_RUN="1")
    assert main(given[2:]) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("error: ") and all(message in said for message in messages), said


def test_too_little_memory_of_a_node_is_refused_with_the_number(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = arguments("examples/df_gspo_trainer/run_qwen2_5_vl_7b_fsdp.sh", tmp_path, DRY_RUN="1")
    for host, status in (("541", 0), ("540", 1)):
        monkeypatch.setenv("HOST_GB", host)
        assert main(given[2:]) == status
    said = capsys.readouterr().err.splitlines()[-1]
    assert "a node needs 541 GiB of memory and has HOST_GB=540: 230 pinned for weights of sleeping engines, 175" in said


def test_sizes_of_a_folder_are_read(tmp_path: Path) -> None:
    parameters = save_tiny_model("internvl", tmp_path)
    sizes = model_sizes("model.path", str(tmp_path))
    assert (sizes.architecture, sizes.parameters, sizes.layers, sizes.head_dim) == ("internvl", parameters, 2, 32)
    assert sizes.vision.image == 20  # four tiles and a thumbnail of four tokens each


def test_known_models_have_a_stand_in() -> None:
    assert {numbers["model_type"] for numbers, _ in KNOWN_MODELS.values()} == set(ARCHITECTURES)
