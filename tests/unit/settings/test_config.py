# SPDX-License-Identifier: Apache-2.0
"""The `df:` block: defaults, types, choices and the messages of wrong settings."""

import re
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from tests.unit.adapters.support import composed
from verl_df.settings.config import (
    CHOICES,
    CONFIG_GROUPS,
    ConfigError,
    DFConfig,
    check_config_groups,
    check_override_names,
    load_df_config,
)


def leaves(block: dict, prefix: str = "df") -> dict:
    """Dotted keys to values; a free dict (df.repair.rollout) is one value."""
    found = {}
    for key, value in block.items():
        name = f"{prefix}.{key}"
        found |= leaves(value, name) if isinstance(value, dict) and value else {name: value}
    return found


def test_composes_with_verls_files_on_the_search_path() -> None:
    config = composed()
    assert load_df_config(config.df) == DFConfig()
    assert config.trainer.v1.trainer_mode == "df_sync"
    assert config.algorithm.adv_estimator == "df_grpo"
    assert config.actor_rollout_ref.actor.policy_loss.loss_mode == "df_vanilla"
    assert config.actor_rollout_ref.actor.loss_agg_mode == "seq-mean-token-mean"
    assert config.reward.reward_manager.name == "df"
    assert config.data.train_batch_size == 1024  # verl's default came along


def test_overrides_on_the_command_line_reach_the_dataclasses() -> None:
    config = composed("df.repair.n=4", "df.gate.kind=soft", "+df.repair.rollout.gpu_memory_utilization=0.2")
    df = load_df_config(config.df)
    assert (df.repair.n, df.gate.kind) == (4, "soft")
    assert df.repair.rollout == {"gpu_memory_utilization": 0.2}


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"mini_batch": "fixed"}, "unknown key 'df.mini_batch'; did you mean 'mini_batches'?"),
        ({"repair": {"modelpath": "x"}}, "unknown key 'df.repair.modelpath'; did you mean 'model_path'?"),
        ({"gate": {"alhpa": 1.0}}, "unknown key 'df.gate.alhpa'; did you mean 'alpha'?"),
        ({"log": {"zzz": 1}}, "unknown key 'df.log.zzz'; known: dir, pairs_per_step"),
    ],
)
def test_unknown_keys_are_refused_with_the_nearest_name(block: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        load_df_config(block)


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"repair": {"n": "2"}}, "df.repair.n: expected int, got '2'"),
        ({"repair": {"n": 2.0}}, "df.repair.n: expected int, got 2.0"),
        ({"repair": {"n": True}}, "df.repair.n: expected int, got True"),
        ({"repair": {"temperature": "hot"}}, "df.repair.temperature: expected float, got 'hot'"),
        ({"repair": {"temperature": True}}, "df.repair.temperature: expected float, got True"),
        ({"repair": {"repair_truncated": 1}}, "df.repair.repair_truncated: expected bool, got 1"),
        ({"repair": {"model_path": 3}}, "df.repair.model_path: expected str or NoneType, got 3"),
        ({"repair": {"rollout": 3}}, "df.repair.rollout: expected dict, got 3"),
        ({"repair": 3}, "df.repair: expected a block of keys, got 3"),
        ({"reward_manager": None}, "df.reward_manager: expected str, got None"),
    ],
)
def test_wrong_types_are_refused(block: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        load_df_config(block)


def test_a_whole_number_will_do_for_a_float() -> None:
    timeout = load_df_config({"repair": {"timeout_s": 60}}).repair.timeout_s
    assert (timeout, type(timeout)) == (60.0, float)


@pytest.mark.parametrize("path", sorted(CHOICES))
def test_values_outside_their_choices_are_refused_with_the_nearest(path: str) -> None:
    wrong = CHOICES[path][0] + "x"
    block = OmegaConf.create()
    OmegaConf.update(block, path, wrong)
    with pytest.raises(ConfigError, match=re.escape(f"{path}={wrong!r}; did you mean {CHOICES[path][0]!r}?")):
        load_df_config(block.df)


@pytest.mark.parametrize("path", sorted(CHOICES))
def test_every_choice_is_accepted(path: str) -> None:
    for choice in CHOICES[path]:
        block = OmegaConf.create()
        OmegaConf.update(block, path, choice)
        load_df_config(block.df)


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"gate": {"kind": "sofft"}}, "df.gate: kind='sofft' is not one of 'binary', 'soft'; did you mean 'soft'?"),
        ({"gate": {"alpha": -1.0}}, "df.gate: alpha=-1.0"),
        ({"repair": {"n": 0}}, "df.repair.n=0"),
        (
            {"repair": {"model_path": "m", "models_dir": "d"}},
            "df.repair.model_path=m and df.repair.models_dir=d: give one",
        ),
        (
            {"repair": {"model_path": "m", "variant": "sft"}},
            "the variant would be ignored: df.repair.model_path=m is one",
        ),
        (
            {"repair": {"variant": "sft"}},
            "df.repair.variant=sft: it is the name of a folder in df.repair.models_dir, which",
        ),
        ({"repair": {"models_dir": "d", "variant": ""}}, "df.repair.variant is empty"),
        ({"gate": {"normalizer": "gate"}}, "did you mean 'gated'?"),
        ({"repair": {"temperature": -0.1}}, "df.repair.temperature=-0.1"),
        ({"repair": {"temperature": 0.0}}, "df.repair.n=2 greedy repairs would all be the same"),
        ({"repair": {"top_p": 0.0}}, "df.repair.top_p=0.0"),
        ({"repair": {"top_p": 1.5}}, "df.repair.top_p=1.5"),
        ({"repair": {"timeout_s": 0}}, "df.repair.timeout_s=0.0"),
        ({"repair": {"max_prompt_length": 0}}, "df.repair.max_prompt_length=0"),
        ({"group": {"reward_threshold": 0.0}}, "df.group.reward_threshold=0.0"),
        ({"group": {"reward_threshold": 1.1}}, "df.group.reward_threshold=1.1"),
        ({"alignment": {"method": "lcs", "backend": "python-levenshtein"}}, "has no LCS: use rapidfuzz"),
    ],
)
def test_impossible_values_are_refused(block: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        load_df_config(block)


@pytest.mark.parametrize(
    ("block", "path"),
    [
        ({}, None),
        ({"model_path": "Qwen/model"}, "Qwen/model"),
        ({"model_path": "m", "variant": "full"}, "m"),
        ({"models_dir": "d"}, "d/full"),
        ({"models_dir": "~/d/", "variant": "lambda_0.2"}, str(Path.home() / "d/lambda_0.2")),
    ],
)
def test_the_repair_model_is_a_path_or_a_variant_of_a_folder(block: dict, path: str | None) -> None:
    assert load_df_config({"repair": block}).repair.path == path


def test_one_greedy_repair_is_fine() -> None:
    assert load_df_config({"repair": {"temperature": 0.0, "n": 1}}).repair.n == 1


@pytest.mark.parametrize(
    "argument",
    [
        "df.repair.n=4",
        "+df.repair.rollout.gpu_memory_utilization=0.2",
        "++df.repair.rollout.engine_kwargs.vllm.anything=1",
        "df.repair.rollout={tensor_model_parallel_size: 2}",
        "df={}",
        "df.gate={kind: soft}",
        "~df.repair.prompt_template",
        "trainer.total_epochs=1",
        "dfx.repair.nn=1",
        "--config-name=df_trainer",
        "df.repiar",  # no override: Hydra says so itself
    ],
)
def test_known_names_pass_the_check_of_the_command_line(argument: str) -> None:
    check_override_names([argument])


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("df.repiar.n=4", "unknown key 'df.repiar.n': no 'repiar' under 'df'; did you mean 'repair'?"),
        ("df.repair.nn=4", "unknown key 'df.repair.nn': no 'nn' under 'df.repair'; did you mean 'n'?"),
        ("+df.gates.kind=soft", "no 'gates' under 'df'; did you mean 'gate'?"),
        ("++df.log.dri=x", "no 'dri' under 'df.log'; did you mean 'dir'?"),
        ("~df.log.dri", "no 'dri' under 'df.log'; did you mean 'dir'?"),
        ("~df.check.image=3", "no 'image' under 'df.check'; did you mean 'images'?"),
    ],
)
def test_unknown_names_on_the_command_line_are_refused(argument: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        check_override_names(["trainer.total_epochs=1", argument])


@given(st.sampled_from(sorted(leaves(asdict(DFConfig())))), st.sampled_from(["", "+", "++", "~"]))
def test_every_key_may_be_overridden(key: str, sign: str) -> None:
    check_override_names([f"{sign}{key}=1"])


@pytest.fixture
def groups(tmp_path: Path) -> Path:
    """A config folder with two files in each group."""
    for group in CONFIG_GROUPS:
        (tmp_path / group).mkdir()
        for name in ("alpha", "beta"):
            (tmp_path / group / f"{name}.yaml").touch()
    return tmp_path


@pytest.mark.parametrize("group", CONFIG_GROUPS)
@pytest.mark.parametrize(
    "choice", ["{}=alpha", "+{}=beta", "{}='alpha'", "{}=alpha,beta", "~{}", "df.{}=x", "{}s=x", "{}.x=y"]
)
def test_known_choices_of_a_group_pass_the_check_of_the_command_line(groups: Path, group: str, choice: str) -> None:
    check_config_groups(["trainer.total_epochs=1", choice.format(group)], groups)


@pytest.mark.parametrize("group", CONFIG_GROUPS)
@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ("{}=alhpa", "{}=alhpa: no such {}; did you mean 'alpha'?"),
        ("+{}=beta2", "{}=beta2: no such {}; did you mean 'beta'?"),
        ("{}=alpha,bta", "{}=bta: no such {}; did you mean 'beta'?"),
        ("{}=null", "{}=null: no such {}; known: alpha, beta"),
        ("{}=", "{}=: no such {}; known: alpha, beta"),
    ],
)
def test_unknown_choices_of_a_group_are_refused(groups: Path, group: str, choice: str, message: str) -> None:
    arguments = ["trainer.total_epochs=1", choice.format(group)]
    with pytest.raises(ConfigError, match=f"^{re.escape(message.format(group, group))}$"):
        check_config_groups(arguments, groups)
    for elsewhere in ("--config-dir=mine", "-cd", "hydra.searchpath=[file://mine]"):
        check_config_groups([*arguments, elsewhere], groups)  # Hydra knows
