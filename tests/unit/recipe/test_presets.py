# SPDX-License-Identifier: Apache-2.0
"""The config groups: objectives against their table, runs by both entry points, old presets, and the toy script."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf
from verl.trainer.config import AlgoConfig
from verl.utils.config import omega_conf_to_dataclass
from verl.workers.config import ActorConfig, CriticConfig

from recipe.df import main_df
from recipe.df.presets import PRESETS, spelled_out
from tests import ROOT
from tests.unit.adapters.objectives_support import OBJECTIVES
from tests.unit.adapters.support import CONFIG_FOLDER, composed
from tests.unit.launch_support import arguments
from verl_df.adapters.policy_training.rows import TASK_REWARD
from verl_df.settings.checks import check_choices
from verl_df.settings.config import CONFIG_GROUPS, DFConfig, RepairConfig, load_df_config

SCRIPT = "examples/toy/run_toy_qwen2_5_vl.sh"
# Lengths and batching with which verl's dataclasses and DF's checks accept every objective.
SIZES = (
    "data.max_response_length=8192",
    "actor_rollout_ref.actor.use_dynamic_bsz=True",
    "actor_rollout_ref.rollout.n=4",
)
MODELS = ("qwen2_5_vl_7b", "qwen2_5_vl_32b", "qwen2_5_vl_3b_lora", "qwen3_vl_8b", "internvl3_5_8b", "toy")
CLIP_KEYS = ("clip_ratio_low", "clip_ratio_high", "clip_ratio_c")
VERLS_CLIP = (0.2, 0.2, 3.0)
# What the paper trains with, and the clips of the GSPO and DAPO papers.
PAPERS = {
    "df_grpo": ("df_grpo", "df_vanilla", "seq-mean-token-mean", "repair_pairs", VERLS_CLIP),
    "df_gspo": ("df_grpo", "df_gspo", "seq-mean-token-mean", "repair_pairs", (3e-4, 4e-4, 3.0)),
    "df_dapo": ("df_grpo", "df_vanilla", "token-mean", "repair_pairs", (0.2, 0.28, 10.0)),
    "df_ppo": ("df_gae", "df_vanilla", "token-mean", "gate_only", VERLS_CLIP),
    "grpo_gate_only": ("df_grpo", "df_vanilla", "seq-mean-token-mean", "gate_only", VERLS_CLIP),
    "gspo_gate_only": ("df_grpo", "df_gspo", "seq-mean-token-mean", "gate_only", (3e-4, 4e-4, 3.0)),
    "dapo_gate_only": ("df_grpo", "df_vanilla", "token-mean", "gate_only", (0.2, 0.28, 10.0)),
}


def names(group: str) -> set[str]:
    return {path.stem for path in (CONFIG_FOLDER / group).glob("*.yaml")}


def choices(config: DictConfig) -> tuple:
    """What an objective decides: estimator, loss, aggregation, group mode, clip."""
    actor = config.actor_rollout_ref.actor
    return (
        config.algorithm.adv_estimator,
        actor.policy_loss.loss_mode,
        actor.loss_agg_mode,
        config.df.group.mode,
        tuple(actor[key] for key in CLIP_KEYS),
    )


def expected(objective: str) -> tuple:
    entry = OBJECTIVES[objective]
    clip = tuple(entry.clip.get(key, verls) for key, verls in zip(CLIP_KEYS, VERLS_CLIP, strict=True))
    return entry.estimator, entry.loss, entry.aggregation, entry.mode, clip


def leaves(block: dict, prefix: str = "") -> dict:
    """Dotted keys to values."""
    found = {}
    for key, value in block.items():
        name = f"{prefix}{key}"
        found |= leaves(value, f"{name}.") if isinstance(value, dict) and value else {name: value}
    return found


def changes(config: DictConfig, base: DictConfig) -> dict:
    """Keys of `config` whose value is not that of `base`."""
    before, after = (leaves(OmegaConf.to_container(one, resolve=False)) for one in (base, config))
    assert before.keys() <= after.keys()
    return {key: value for key, value in after.items() if key not in before or before[key] != value}


# ---- objectives ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("objective", PAPERS)
def test_the_papers_objectives_are_the_papers(objective: str) -> None:
    assert expected(objective) == PAPERS[objective]


def test_the_default_is_df_grpo_without_a_preset() -> None:
    assert composed(*SIZES) == composed("objective=df_grpo", *SIZES)


@pytest.mark.parametrize("objective", ["df_gspo", "df_ppo"])
def test_the_command_line_wins_over_the_objective(objective: str) -> None:
    config = composed(
        "df.group.mode=off",
        "actor_rollout_ref.actor.loss_agg_mode=seq-mean-token-sum",
        f"objective={objective}",
        "actor_rollout_ref.actor.clip_ratio_high=0.7",
    )
    assert config.df.group.mode == "off"
    assert config.actor_rollout_ref.actor.loss_agg_mode == "seq-mean-token-sum"
    assert config.actor_rollout_ref.actor.clip_ratio_high == 0.7


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_an_objective_sets_what_its_file_says_and_verl_and_the_checks_accept_it(objective: str) -> None:
    config = composed(f"objective={objective}", *SIZES)
    assert choices(config) == expected(objective)
    algorithm = omega_conf_to_dataclass(config.algorithm)
    assert isinstance(algorithm, AlgoConfig) and algorithm.adv_estimator == OBJECTIVES[objective].estimator
    actor = omega_conf_to_dataclass(config.actor_rollout_ref.actor)
    assert isinstance(actor, ActorConfig) and actor.policy_loss.loss_mode == OBJECTIVES[objective].loss
    check_choices(config, load_df_config(config.df))


def test_only_ppo_has_a_critic_and_it_starts_from_the_policy() -> None:
    with_critic = {one for one in OBJECTIVES if composed(f"objective={one}", *SIZES).critic.enable}
    assert with_critic == {name for name, one in OBJECTIVES.items() if one.base_estimator == "gae"}
    config = composed("objective=df_ppo", *SIZES)
    assert config.critic.model.path == config.actor_rollout_ref.model.path
    config.actor_rollout_ref.model.path = "policy"
    assert config.critic.model.path == "policy"
    assert composed("objective=df_ppo", "critic.model.path=other").critic.model.path == "other"
    critic = config.critic.copy()
    del critic.model  # would be loaded
    assert isinstance(omega_conf_to_dataclass(critic), CriticConfig)
    assert changes(config.algorithm, composed(*SIZES).algorithm) == {"adv_estimator": "df_gae"}  # gamma, lam: verl's


@pytest.mark.parametrize("objective", ["df_dapo", "dapo_gate_only"])
def test_dapo_filters_by_task_reward_and_shapes_by_length(objective: str) -> None:
    config = composed(f"objective={objective}", *SIZES)
    assert (config.algorithm.filter_groups.enable, config.algorithm.filter_groups.metric) == (True, TASK_REWARD)
    assert config.df.reward_manager == "dapo"
    shaping = config.reward.reward_kwargs
    assert shaping.max_resp_len == 8192
    assert OmegaConf.to_container(shaping.overlong_buffer_cfg) == {
        "enable": True,
        "len": 4096,
        "penalty_factor": 1.0,
        "log": False,
    }


# ---- the rows of the paper's tables, and their old names -------------------------------------------------------------


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_is_df_gspo_and_one_key_and_the_checks_accept_it(preset: str, capsys: pytest.CaptureFixture) -> None:
    config, base = composed(*spelled_out([f"preset={preset}"]), *SIZES), composed("objective=df_gspo", *SIZES)
    assert capsys.readouterr().err == f"note: preset={preset} is objective=df_gspo {PRESETS[preset]} now\n"
    key, _, value = PRESETS[preset].partition("=")
    assert str(OmegaConf.select(config, key)) == value and changes(config, base).keys() <= {key}
    config.df.repair.models_dir = "models"
    df = load_df_config(config.df)
    check_choices(config, df)
    assert df.repair.path == f"models/{value if key == 'df.repair.variant' else 'full'}"


@pytest.mark.parametrize("order", [1, -1])
def test_the_command_line_wins_over_a_preset(order: int) -> None:
    config = composed(*spelled_out(["preset=df_n4", "objective=df_dapo", "df.repair.n=7"][::order]))
    assert (choices(config), config.df.repair.n) == (expected("df_dapo"), 7)


def test_gspo_needs_no_repair_model_and_does_not_mind_one() -> None:
    config = composed("objective=df_gspo", PRESETS["gspo"], *SIZES)
    assert load_df_config(config.df).repair == RepairConfig()
    config.df.repair.model_path = "any"
    check_choices(config, load_df_config(config.df))


def run_main(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    GlobalHydra.instance().clear()
    monkeypatch.setattr(sys, "argv", ["main_df", *arguments])
    main_df.main()


def test_the_entry_point_finds_the_groups_also_when_it_is_imported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    run_main(monkeypatch, "objective=df_ppo", "preset=df_n3", "run=[qwen2_5_vl_7b,ppo]", "--cfg", "job")
    printed = OmegaConf.create(capsys.readouterr().out)
    assert (printed.algorithm.adv_estimator, printed.df.repair.n, printed.critic.strategy) == ("df_gae", 3, "fsdp2")


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("objective=df_gpso", "error: objective=df_gpso: no such objective; did you mean 'df_gspo'?"),
        (
            "preset=df_lamda_0_2",
            "error: preset=df_lamda_0_2: no such preset (docs/results.md lists keys); did you mean",
        ),
        ("run=[qwen2_5_vl_7b,dap]", "error: run=dap: no such run; did you mean 'dapo'?"),
        ("df.repair.varint=sft", "error: unknown key 'df.repair.varint': no 'varint' under 'df.repair'; did you mean"),
    ],
)
def test_the_entry_point_refuses_a_wrong_name_in_one_line(
    monkeypatch: pytest.MonkeyPatch, argument: str, message: str
) -> None:
    with pytest.raises(SystemExit) as stop:
        run_main(monkeypatch, "trainer.total_epochs=1", argument)
    assert str(stop.value).startswith(message) and "\n" not in str(stop.value)


@pytest.mark.parametrize(
    "path", sorted(CONFIG_FOLDER.glob("*/*.yaml")), ids=lambda path: f"{path.parent.name}/{path.stem}"
)
def test_a_file_of_a_group_says_where_it_belongs_and_what_it_is(path: Path) -> None:
    first, second, third, *_ = path.read_text().splitlines()
    assert path.parent.name in (*CONFIG_GROUPS, "sft")
    assert first == "# @package _global_"  # Hydra reads it at the top only
    assert second == "# SPDX-License-Identifier: Apache-2.0"
    assert third.startswith("# ") and (path.parent.name != "objective" or "Eq." in third)


# ---- runs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("run", "baseline"),
    [(model, "gspo") for model in MODELS] + [("[qwen2_5_vl_7b,dapo]", "dapo"), ("[qwen2_5_vl_7b,ppo]", "ppo")],
)
def test_stock_verl_reads_the_same_run(run: str, baseline: str) -> None:
    """All but what makes the method, which is the objective's and the baseline's."""
    GlobalHydra.instance().clear()
    with initialize_config_module("verl.trainer.config", version_base=None):
        given = ["hydra.searchpath=[pkg://recipe.df.config]", f"+run={run}", f"+baseline={baseline}"]
        stock = compose("ppo_trainer", overrides=given)
    ours = leaves(OmegaConf.to_container(composed(f"run={run}", f"objective=df_{baseline}")))
    theirs = leaves(OmegaConf.to_container(stock))
    differ = {key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key)}
    method = ("df.", "algorithm.adv_estimator", "algorithm.filter_groups.metric", "trainer.v1.trainer_mode")
    method += ("actor_rollout_ref.actor.policy_loss.loss_mode", "reward.reward_manager.name", "critic.enable")
    assert not [key for key in differ if not key.startswith(method)]
    assert stock.actor_rollout_ref.actor.optim.lr in (1e-6, 1e-5)  # numbers, not strings


# ---- the toy script --------------------------------------------------------------------------------------------------


def started(folder: Path, *extra: str, **variables: str) -> tuple[str, list[str]]:
    """Module and overrides that the script would start Python with."""
    _, _, module, *overrides = arguments(SCRIPT, folder, *extra, **variables)
    return module, overrides


@pytest.mark.parametrize("objective", ["df_grpo", "df_gspo", "df_ppo", "dapo_gate_only"])
def test_the_script_leaves_to_an_objective_what_is_its_own(tmp_path: Path, objective: str) -> None:
    module, overrides = started(tmp_path, ALGO=objective)
    assert module == "recipe.df.main_df"
    config = composed(*overrides)
    assert choices(config) == expected(objective)
    check_choices(config, load_df_config(config.df))
    assert isinstance(omega_conf_to_dataclass(config.actor_rollout_ref.actor), ActorConfig)
    assert config.df.repair.model_path == "outputs/toy/repair"
    if config.critic.enable:
        critic = config.critic.copy()
        del critic.model  # would be loaded
        engine = omega_conf_to_dataclass(critic).engine
        assert (engine.strategy, engine.model_dtype, engine.use_torch_compile) == ("fsdp2", "fp32", False)
        assert config.critic.model.path == "outputs/toy/policy"
        assert config.critic.model.override_config == config.actor_rollout_ref.model.override_config


def test_the_scripts_stock_run_knows_nothing_of_df(tmp_path: Path) -> None:
    module, overrides = started(tmp_path, ALGO="grpo")
    assert module == "verl.trainer.main_ppo"
    assert {"+run=toy", "+baseline=grpo"} < set(overrides)
    keys = {override.lstrip("+").partition("=")[0] for override in overrides}
    assert not [key for key in keys if key == "objective" or key.startswith(("df.", "critic."))]
    _, of_df = started(tmp_path)
    ours = {"objective", "df.truth.path", "df.log.dir", "df.repair.model_path"}
    assert {key.lstrip("+").partition("=")[0] for key in of_df} - keys == ours


def test_the_script_takes_presets_and_a_folder_of_repair_models(tmp_path: Path) -> None:
    _, overrides = started(tmp_path, "preset=df_no_c1", "df.gate.kind=soft", ALGO="df_gspo", REPAIRS="models")
    df: DFConfig = load_df_config(composed(*spelled_out(overrides)).df)
    assert (df.repair.path, df.gate.kind) == ("models/no_c1", "soft")


def test_the_script_runs_another_entry_point(tmp_path: Path) -> None:
    assert started(tmp_path, ALGO="df_ppo", MAIN="another.entry")[0] == "another.entry"


def test_the_script_refuses_an_unknown_objective(tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "ALGO": "df_gpo", "OUT": str(tmp_path / "out")}
    finished = subprocess.run(
        ["bash", str(ROOT / SCRIPT)], env=environment, capture_output=True, text=True, timeout=240
    )
    assert finished.returncode == 2 and not (tmp_path / "out").exists()
    assert finished.stderr == f"ALGO=df_gpo: write grpo (stock verl) or one of {' '.join(sorted(OBJECTIVES))}\n"
