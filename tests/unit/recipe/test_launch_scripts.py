# SPDX-License-Identifier: Apache-2.0
"""Launch scripts for real models: what they pass is known to verl and to the `df:` block. The toy's are run end to end;
of the one that trains many repair models, which takes hours, the commands are looked at here.
"""

import os
import subprocess
from pathlib import Path

import pytest
from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

from tests.unit.adapters.support import composed
from tests.unit.launch_support import ROOT, arguments
from verl_df.settings.repair_config import load_repair_training_config

SFT, RL = "examples/repair_sft/run_qwen2_5_vl_7b_fsdp.sh", "examples/repair_rl/run_qwen2_5_vl_7b_fsdp.sh"


def overrides(given: list[str], module: str) -> list[str]:
    start = given.index(module)
    assert given[start - 1] == "-m"
    return given[start + 1 :]


def sft_config(given: list[str]) -> DictConfig:
    GlobalHydra.instance().clear()
    with initialize_config_module("verl.trainer.config", version_base=None):
        return compose("sft_trainer_engine", overrides=given)


SCRIPTS = sorted(path.relative_to(ROOT / "examples") for path in (ROOT / "examples").glob("*_*/run_*.sh"))
OF_RL = {
    "TRAIN": "data.train_files",
    "VAL": "data.val_files",
    "MAX_PROMPT": "data.max_prompt_length",
    "MAX_RESPONSE": "data.max_response_length",
    "LORA_RANK": "actor_rollout_ref.model.lora_rank",
    "LORA_ALPHA": "actor_rollout_ref.model.lora_alpha",
    "LR": "actor_rollout_ref.actor.optim.lr",
    "ROLLOUTS": "actor_rollout_ref.rollout.n",
    "TP": "actor_rollout_ref.rollout.tensor_model_parallel_size",
    "VLLM_SHARE": "actor_rollout_ref.rollout.gpu_memory_utilization",
    "BATCHED_TOKENS": "actor_rollout_ref.rollout.max_num_batched_tokens",
    "TOKENS_PER_GPU": "actor_rollout_ref.actor.ppo_max_token_len_per_gpu",
    "REWARD_PATH": "reward.custom_reward_function.path",
    "NNODES": "trainer.nnodes",
    "GPUS": "trainer.n_gpus_per_node",
    "EPOCHS": "trainer.total_epochs",
}
OF_POLICIES = OF_RL | {
    "POLICY": "actor_rollout_ref.model.path",
    "PROMPTS": "data.train_batch_size",
    "MINI_BATCH": "actor_rollout_ref.actor.ppo_mini_batch_size",
    "REPAIR": "df.repair.model_path",
}
VARIABLES = {
    "examples/df_gspo_trainer/run_qwen2_5_vl_7b_fsdp.sh": OF_POLICIES,
    "examples/df_dapo_trainer/run_qwen2_5_vl_7b_fsdp.sh": OF_POLICIES
    | {"OVERLONG": "reward.reward_kwargs.overlong_buffer_cfg.len"},
    "examples/df_ppo_trainer/run_qwen2_5_vl_7b_fsdp.sh": OF_POLICIES
    | {"CRITIC_LR": "critic.optim.lr", "CRITIC_WARMUP": "trainer.critic_warmup"},
    RL: OF_RL
    | {
        "STAGE1": "actor_rollout_ref.model.path",
        "TASKS": "data.train_batch_size",
        "REWARD_NAME": "reward.custom_reward_function.name",
        "EDIT_PENALTY": "df.edit_penalty",
        "AUDITOR_URL": "df.auditor.endpoint.base_url",
        "AUDITOR_MODEL": "df.auditor.endpoint.model",
    },
    SFT: {
        "POLICY": "model.path",
        "DATA": "data.train_files",
        "BATCH": "data.train_batch_size",
        "MAX_LENGTH": "data.max_length",
        "TOKENS_PER_GPU": "data.max_token_len_per_gpu",
        "LR": "optim.lr",
        "EPOCHS": "trainer.total_epochs",
        "LORA_RANK": "model.lora_rank",
        "LORA_ALPHA": "model.lora_alpha",
    },
}


@pytest.mark.parametrize("script", VARIABLES)
def test_a_variable_replaces_its_number_and_what_is_appended_wins(script: str, tmp_path: Path) -> None:
    values = {name: str(100 + place) for place, name in enumerate(VARIABLES[script])}
    given = arguments(script, tmp_path, "trainer.total_epochs=9", **values)
    assert {f"{key}={values[name]}" for name, key in VARIABLES[script].items()} <= set(given)
    assert given[-1] == "trainer.total_epochs=9"
    if script != SFT:
        assert (
            "actor_rollout_ref.model.exclude_modules=.*visual.*" in given
        )  # vLLM takes no adapter on the vision tower


@pytest.mark.parametrize("script", SCRIPTS, ids=str)
def test_a_run_has_the_name_of_its_script(script: Path, tmp_path: Path) -> None:
    model, kind = script.stem.removeprefix("run_").removesuffix("_fsdp"), script.parent.name.removesuffix("_trainer")
    given = arguments(f"examples/{script}", tmp_path, OUT="", DRY_RUN="1")
    (name,) = (word.partition("=")[2] for word in given if word.startswith("trainer.experiment_name="))
    assert name.startswith(f"{model}_{kind}")
    folder = f"outputs/{model}/{kind}" if kind == "repair_sft" else f"{ROOT}/outputs/{model}/{kind}/checkpoints"
    assert f"trainer.default_local_dir={folder}" in given


def test_the_reward_of_dapo_falls_over_the_last_fifth(tmp_path: Path) -> None:
    given = arguments("examples/dapo_trainer/run_qwen2_5_vl_7b_fsdp.sh", tmp_path, MAX_RESPONSE="1000")
    assert "reward.reward_kwargs.overlong_buffer_cfg.len=200" in given


def test_sft_of_the_repair_model(tmp_path: Path) -> None:
    given = arguments(SFT, tmp_path, "trainer.total_epochs=5", POLICY="some/policy", DATA="rows.parquet", NPROC="4")
    assert "--nproc-per-node=4" in given
    config = sft_config(overrides(given, "recipe.df.main_repair_sft"))
    assert config.model.path == "some/policy" and config.data.train_files == "rows.parquet"
    assert config.trainer.total_epochs == 5  # "$@" comes last and wins
    assert "hf_model" in config.checkpoint.save_contents


@pytest.mark.parametrize(
    ("algorithm", "loss", "mean", "auditor"),
    [("gspo", "gspo", "seq-mean-token-mean", "http://a:1/v1"), ("dapo", "vanilla", "token-mean", "")],
)
def test_rl_of_the_repair_model(tmp_path: Path, algorithm: str, loss: str, mean: str, auditor: str) -> None:
    given = overrides(arguments(RL, tmp_path, ALGO=algorithm, AUDITOR_URL=auditor), "recipe.df.main_repair")
    config = composed(*given, name="repair_trainer")
    assert config.actor_rollout_ref.actor.policy_loss.loss_mode == loss
    assert config.actor_rollout_ref.actor.loss_agg_mode == mean
    df = load_repair_training_config(config.df)
    assert df.edit_penalty == 0.5
    assert (df.auditor.enabled, df.auditor.endpoint.base_url) == (bool(auditor), auditor)


def test_another_algorithm_is_refused(tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        arguments(RL, tmp_path, ALGO="gpso")
    assert "write gspo, grpo or dapo" in refused.value.stderr


@pytest.fixture
def repair_models(tmp_path: Path):
    """The words of every Python command that the script starts; each RL run seems to leave a merged model."""
    recorder, calls = tmp_path / "python", tmp_path / "calls"
    recorder.write_text(
        f'#!/bin/sh\n(printf "%s\\t" "$@"; echo) >> {calls}\n'
        'while [ $# -gt 0 ]; do [ "$1" = --target_dir ] && mkdir -p "$2"; shift; done; true\n'
    )
    recorder.chmod(0o755)

    def run(variants: str) -> list[list[str]]:
        (tmp_path / "world/stage1").mkdir(parents=True, exist_ok=True)
        calls.unlink(missing_ok=True)
        fixed = {"PYTHON": str(recorder), "VERL_DF_WARM": "0", "WORLD": str(tmp_path / "world")}
        environment = {**os.environ, **fixed, "VARIANTS": variants}
        command = ["bash", str(ROOT / "examples/toy/repair_models.sh")]
        subprocess.run(command, env=environment, check=True, capture_output=True)
        return [line.strip().split("\t") for line in calls.read_text().splitlines()]

    return run


def test_repair_models_are_trained_evaluated_and_compared(repair_models) -> None:
    calls = repair_models("full full_2 no_c1 no_edit_penalty lambda_0.2 lambda_0.8_2")
    trained = [composed(*call[3:], name="repair_trainer") for call in calls if "recipe.df.main_repair" in call]
    assert [(run.df.edit_penalty, run.data.seed, run.df.image_removal.kind) for run in trained] == [
        (0.5, 1, "blank"),
        (0.5, 2, "blank"),
        (0.5, 1, "off"),
        (0.0, 1, "blank"),
        (0.2, 1, "blank"),
        (0.8, 2, "blank"),
    ]
    evaluation, compared, swept = (call for call in calls if "repair-eval" in call)
    models = [
        word.partition("=")[0] for before, word in zip(evaluation, evaluation[1:], strict=False) if before == "--repair"
    ]
    assert models == ["sft", "full", "full_2", "no_c1", "no_edit_penalty", "lambda_0.2", "lambda_0.8_2"]
    groups = [word for word in compared if "#" in word]
    assert groups[0].startswith("sft=")  # what the others are compared with
    assert any(word.startswith("full=") and word.count("#full") == 2 for word in groups) and len(groups) == 6
    points = {word.partition("=")[0] for word in swept if "#" in word}
    assert points == {"0.5", "0", "0.2", "0.8"}


def test_a_repair_model_that_is_there_is_kept(repair_models) -> None:
    repair_models("full")
    calls = repair_models("full no_c1")
    assert sum("recipe.df.main_repair" in call for call in calls) == 1
    assert not any("lambda" in call for call in calls)  # one point is no sweep


# ---- what a GPU needs ------------------------------------------------------------------------------------------------


def of_rl(script: Path, tmp_path: Path, **variables: str) -> DictConfig:
    """The composed config of a script of DF's reinforcement learning."""
    given = arguments(f"examples/{script}", tmp_path, **variables)
    module = "recipe.df.main_repair" if "repair_rl" in str(script) else "recipe.df.main_df"
    return composed(*overrides(given, module), name="repair_trainer" if "repair" in module else "df_trainer")


OURS = [script for script in SCRIPTS if str(script).startswith(("df_", "repair_rl"))]


@pytest.mark.parametrize("script", OURS, ids=str)
@pytest.mark.parametrize("variables", [{}, {"MAX_PROMPT": "9000"}, {"MAX_RESPONSE": "4000"}], ids=str)
def test_engines_make_room_for_what_is_asked_and_no_more(script: Path, variables: dict, tmp_path: Path) -> None:
    """Without a limit vLLM takes the model's longest context, up to 262,144 tokens, and a video as long."""
    config = of_rl(script, tmp_path, **variables)
    rollout, wanted = config.actor_rollout_ref.rollout, config.data.max_prompt_length + config.data.max_response_length
    assert wanted <= rollout.max_model_len <= wanted + 4096
    assert rollout.engine_kwargs.vllm.limit_mm_per_prompt == {"image": 8, "video": 0}
    assert config.trainer.max_actor_ckpt_to_keep == 3


@pytest.mark.parametrize("script", OURS, ids=str)
def test_workers_that_process_pictures_grow_with_the_gpus(script: Path, tmp_path: Path) -> None:
    for variables in ({}, {"GPUS": "4"}, {"NNODES": "2"}, {"GPUS": "4", "NNODES": "2"}):
        config = of_rl(script, tmp_path, **variables)
        gpus = config.trainer.nnodes * config.trainer.n_gpus_per_node
        if len(variables) == 1 and (config.trainer.n_gpus_per_node, config.trainer.nnodes) not in (
            (8, 2),
            (4, 1),
            (8, 4),
        ):
            continue  # a file of another size than one node of 8: give both variables
        assert config.actor_rollout_ref.rollout.agent.num_workers == config.reward.num_workers == 4 * gpus, variables


def test_the_critics_token_limit_follows(tmp_path: Path) -> None:
    config = of_rl(Path("df_ppo_trainer/run_qwen2_5_vl_7b_fsdp.sh"), tmp_path, TOKENS_PER_GPU="1234")
    assert config.critic.ppo_infer_max_token_len_per_gpu == config.critic.ppo_max_token_len_per_gpu == 1234


def test_logs_reach_processes_of_a_ray_that_is_up(tmp_path: Path) -> None:
    config = of_rl(Path("df_gspo_trainer/run_qwen2_5_vl_7b_fsdp.sh"), tmp_path)
    variables = config.ray_kwargs.ray_init.runtime_env.env_vars
    assert Path(variables.VERL_FILE_LOGGER_PATH).is_absolute() and Path(variables.TENSORBOARD_DIR).is_absolute()
    assert Path(config.trainer.default_local_dir).is_absolute()


def test_paths_that_are_there_are_whole_for_stock_verl_too(tmp_path: Path) -> None:
    here = {"TRAIN": "README.md", "VAL": "docs/data.md", "POLICY": "docs", "REWARD_PATH": "pkg://verl_df.judges.score"}
    given = arguments("examples/gspo_trainer/run_qwen2_5_vl_7b_fsdp.sh", tmp_path, **here)
    assert {f"data.train_files={ROOT}/README.md", f"data.val_files={ROOT}/docs/data.md"} <= set(given)
    assert f"actor_rollout_ref.model.path={ROOT}/docs" in given
    assert "reward.custom_reward_function.path=pkg://verl_df.judges.score" in given


def test_several_nodes_without_a_meeting_point_are_refused(tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        arguments(SFT, tmp_path, NNODES="2")
    assert "set MASTER_ADDR to the first node's address" in refused.value.stderr
    assert "--master-addr=10.0.0.1" in arguments(SFT, tmp_path, NNODES="2", MASTER_ADDR="10.0.0.1")
