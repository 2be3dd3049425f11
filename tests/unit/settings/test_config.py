# SPDX-License-Identifier: Apache-2.0
"""The `df:` block: defaults, types, choices and the messages of wrong settings."""

import re
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from tests.unit.adapters.support import composed
from verl_df.io.validation import block_of
from verl_df.settings.config import (
    CONFIG_GROUPS,
    ConfigError,
    DFConfig,
    check_config_groups,
    check_override_names,
    load_df_config,
)
from verl_df.settings.repair_config import RepairTrainingConfig, load_repair_training_config


def leaves(block: dict, prefix: str = "df") -> dict:
    """Dotted keys to values; a free dict (df.repair.rollout) is one value."""
    found = {}
    for key, value in block.items():
        name = f"{prefix}.{key}"
        found |= leaves(value, name) if isinstance(value, dict) and value else {name: value}
    return found


def choices(kind: type, prefix: str = "df") -> dict[str, tuple[str, ...]]:
    """Dotted keys to what they may be, for those that are a choice."""
    found = {}
    for one in fields(kind):
        annotation, key = get_type_hints(kind)[one.name], f"{prefix}.{one.name}"
        if block := block_of(annotation):
            found |= choices(block, key)
        elif names := get_args(annotation) or getattr(annotation, "__members__", {}).values():
            if all(isinstance(name, str) for name in names):
                found[key] = tuple(map(str, names))
    return found


def load(root: type, block: Any) -> Any:
    return {DFConfig: load_df_config, RepairTrainingConfig: load_repair_training_config}[root](block)


ROOTS = (DFConfig, RepairTrainingConfig)
CHOICES = [(root, key, names) for root in ROOTS for key, names in choices(root).items()]


def test_the_choices_are_found() -> None:
    found = choices(DFConfig)
    assert found["df.group.mode"] == ("repair_pairs", "gate_only", "off")
    assert found["df.mini_batches"] == ("fixed", "verl")
    assert len(found) >= 15 and len(choices(RepairTrainingConfig)) == 4


@pytest.mark.parametrize(("root", "key", "names"), CHOICES, ids=str)
def test_choices_are_checked(root: type, key: str, names: tuple[str, ...]) -> None:
    def loaded(value: Any) -> Any:
        block = OmegaConf.create()
        OmegaConf.update(block, key, value)
        return load(root, block.df)

    for name in names:
        assert leaves(asdict(loaded(name)))[key] == name
    with pytest.raises(ConfigError, match=f"^{re.escape(key)}='{names[0]}x'; did you mean {names[0]!r}\\?$"):
        loaded(names[0] + "x")
    with pytest.raises(ConfigError, match=f"^{re.escape(key)}=3; known: {', '.join(sorted(names))}$"):
        loaded(3)


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


REFUSED = [
    (3, "df: expected a block of keys, got 3"),
    ({"mini_batch": "fixed"}, "unknown key 'df.mini_batch'; did you mean 'mini_batches'?"),
    ({"repair": {"modelpath": "x"}}, "unknown key 'df.repair.modelpath'; did you mean 'model_path'?"),
    ({"gate": {"alhpa": 1.0}}, "unknown key 'df.gate.alhpa'; did you mean 'alpha'?"),
    (
        {"log": {"zzz": 1}},
        "unknown key 'df.log.zzz'; known: dir, groups_per_step, pairs_per_step, table_every, token_arrays_per_step",
    ),
    (
        {"log": {"table_every": 2, "pairs_per_step": 0}},
        "df.log.table_every=2: the table shows written pairs, and df.log.pairs_per_step=0 writes none; set it to 16, "
        "or table_every to 0",
    ),
    ({"alignment": {"step_separator": "line"}}, "df.alignment.step_separator is df.gate.step_separator now"),
    ({"repair": {"n": "2"}}, "df.repair.n: expected int, got '2'"),
    ({"repair": {"n": 2.0}}, "df.repair.n: expected int, got 2.0"),
    ({"repair": {"n": True}}, "df.repair.n: expected int, got True"),
    ({"repair": {"temperature": "hot"}}, "df.repair.temperature: expected float or null, got 'hot'"),
    ({"repair": {"temperature": True}}, "df.repair.temperature: expected float or null, got True"),
    ({"repair": {"repair_truncated": 1}}, "df.repair.repair_truncated: expected bool, got 1"),
    ({"repair": {"model_path": 3}}, "df.repair.model_path: expected str or null, got 3"),
    ({"repair": {"rollout": 3}}, "df.repair.rollout: expected dict, got 3"),
    ({"repair": 3}, "df.repair: expected a block of keys, got 3"),
    ({"reward_manager": None}, "df.reward_manager: expected str, got None"),
    ({"gate": {"alpha": -1.0}}, "df.gate.alpha=-1.0: must be at least 0"),
    ({"gate": {"alpha": float("nan")}}, "df.gate.alpha=nan: must be a finite number"),
    ({"repair": {"n": 0}}, "df.repair.n=0: must be more than 0"),
    (
        {"repair": {"n": 0, "top_p": 1.5}},
        "df.repair.n=0: must be more than 0; df.repair.top_p=1.5: must be at most 1",
    ),
    (
        {"log": {"zz": 1, "zzz": 2, "q": 3, "qq": 4, "qqq": 5}},
        "unknown key 'df.log.zz'; {known}; unknown key 'df.log.zzz'; {known}; unknown key 'df.log.q'; {known}; "
        "and 2 more",
    ),
    ({"repair": {"temperature": -0.1}}, "df.repair.temperature=-0.1: must be at least 0"),
    ({"repair": {"top_p": 0.0}}, "df.repair.top_p=0.0: must be more than 0"),
    ({"repair": {"timeout_s": 0}}, "df.repair.timeout_s=0: must be more than 0"),
    ({"repair": {"max_prompt_length": 0}}, "df.repair.max_prompt_length=0: must be more than 0"),
    ({"group": {"reward_threshold": 0.0}}, "df.group.reward_threshold=0.0: must be more than 0"),
    ({"group": {"reward_threshold": 1.1}}, "df.group.reward_threshold=1.1: must be at most 1"),
    (
        {"repair": {"temperature": 0.0}},
        "df.repair.n=2 greedy repairs would all be the same: set a temperature or n=1",
    ),
    (
        {"repair": {"model_path": "m", "models_dir": "d"}},
        "df.repair.model_path=m and df.repair.models_dir=d: give one of them, a repair model or a folder with one per "
        "variant",
    ),
    (
        {"repair": {"model_path": "m", "variant": "sft"}},
        "df.repair.variant=sft: the variant would be ignored: df.repair.model_path=m is one model. {variant}",
    ),
    (
        {"repair": {"variant": "sft"}},
        "df.repair.variant=sft: it is the name of a folder in df.repair.models_dir, which is not set. {variant}",
    ),
    (
        {"repair": {"models_dir": "d", "variant": ""}},
        "df.repair.variant is empty: write the name of a folder in df.repair.models_dir, or full",
    ),
    (
        {"alignment": {"method": "lcs", "backend": "python-levenshtein"}},
        "df.alignment: backend=python-levenshtein has no LCS: use rapidfuzz",
    ),
]
REFUSED_IN_REPAIR_TRAINING = [
    ({"edit_penalty": -0.1}, "df.edit_penalty=-0.1: must be at least 0"),
    ({"edit_penality": 0.1}, "unknown key 'df.edit_penality'; did you mean 'edit_penalty'?"),
    ({"image_removal": {"timeout_s": 0.0}}, "df.image_removal.timeout_s=0.0: must be more than 0"),
    ({"image_removal": {"max_concurrency": 0}}, "df.image_removal.max_concurrency=0: must be more than 0"),
    ({"judge": {"endpoint": {"timeout_s": -1.0}}}, "df.judge.endpoint.timeout_s=-1.0: must be more than 0"),
]
VARIANT = "Give df.repair.models_dir, a folder with one repair model per variant, and no df.repair.model_path"
KNOWN = "known: dir, groups_per_step, pairs_per_step, table_every, token_arrays_per_step"


@pytest.mark.parametrize(
    ("root", "block", "message"),
    [(DFConfig, *one) for one in REFUSED] + [(RepairTrainingConfig, *one) for one in REFUSED_IN_REPAIR_TRAINING],
)
def test_what_is_refused_and_what_to_write_instead(root: type, block: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{re.escape(message.format(variant=VARIANT, known=KNOWN))}$"):
        load(root, block)


def test_a_whole_number_will_do_for_a_float() -> None:
    timeout = load_df_config({"repair": {"timeout_s": 60}}).repair.timeout_s
    assert (timeout, type(timeout)) == (60.0, float)


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
        ("df.alignment.step_separator=line", "df.alignment.step_separator is df.gate.step_separator now"),
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


@given(st.sampled_from(ROOTS), st.sampled_from(["", "+", "++", "~"]), st.data())
def test_every_key_may_be_overridden(root: type, sign: str, data: st.DataObject) -> None:
    key = data.draw(st.sampled_from(sorted(leaves(asdict(root())))))
    check_override_names([f"{sign}{key}=1"], root)


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
