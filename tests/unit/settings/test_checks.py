# SPDX-License-Identifier: Apache-2.0
"""What is refused before Ray starts: models, tokenizers, data files, contradicting settings."""

import json
import re
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pandas as pd
import pytest
from omegaconf import DictConfig, OmegaConf
from PIL import Image
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from tests.unit.adapters.support import composed
from verl_df.io.streams import ROWS_AT_ONCE
from verl_df.settings import checks, repair_checks
from verl_df.settings.checks import check_choices, check_data_file, check_run, tokenizer_difference
from verl_df.settings.config import ConfigError, load_df_config
from verl_df.settings.objectives import ESTIMATORS, gated
from verl_df.settings.verl_keys import KINDS

VOCABULARY = {"a": 0, "b": 1, "ab": 2, "<end>": 3, "<pad>": 4}


def png(colour: str = "red") -> bytes:
    stream = BytesIO()
    Image.new("RGB", (64, 64), colour).save(stream, format="PNG")
    return stream.getvalue()


def row(images: list | None = None) -> dict:
    return {
        "data_source": "test",
        "prompt": [{"role": "user", "content": "<image>How many?"}],
        "images": [{"bytes": png(), "path": None}] if images is None else images,
        "reward_model": {"style": "rule", "ground_truth": "3"},
        "extra_info": {"index": 0},
    }


def parquet(path: Path, rows: list[dict], **drop: None) -> str:
    pd.DataFrame([{key: value for key, value in row.items() if key not in drop} for row in rows]).to_parquet(path)
    return str(path)


def tokenizer(vocabulary: dict[str, int] = VOCABULARY, merges: tuple = (("a", "b"),), end: str = "<end>"):
    bpe = Tokenizer(models.BPE(vocab=vocabulary, merges=list(merges)))
    return PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token=end, pad_token="<pad>")


def model_folder(path: Path, **settings: object) -> str:
    tokenizer(**settings).save_pretrained(path)
    (path / "config.json").write_text(json.dumps({"model_type": "qwen2_5_vl"}))
    return str(path)


@pytest.fixture(scope="module")
def base() -> DictConfig:
    """The composed config; tests change a copy."""
    return composed("data.train_batch_size=8", "actor_rollout_ref.actor.ppo_mini_batch_size=4")


@pytest.fixture
def run(base: DictConfig, tmp_path: Path) -> Callable[[dict], DictConfig]:
    """A good run in `tmp_path`, with changes by dotted key."""
    good = {
        "actor_rollout_ref.model.path": model_folder(tmp_path / "policy"),
        "df.repair.model_path": model_folder(tmp_path / "repair"),
        "data.train_files": parquet(tmp_path / "train.parquet", [row(), row()]),
        "data.val_files": [parquet(tmp_path / "val.parquet", [row()])],
        "actor_rollout_ref.rollout.n": 4,
    }

    def changed(changes: dict) -> DictConfig:
        config = base.copy()
        for key, value in (good | changes).items():
            block, _, name = key.rpartition(".")
            node = config
            for part in block.split("."):
                node = node[part]
            node[name] = value
        return config

    return changed


def test_a_good_run_passes(run) -> None:
    assert check_run(run({})) == load_df_config(run({}).df)
    assert check_run(run({"df.group.mode": "gate_only"})).group.mode == "gate_only"


def test_without_repairs_no_repair_model_is_asked_for(run) -> None:
    check_run(run({"df.group.mode": "off", "df.repair.model_path": None, "actor_rollout_ref.rollout.n": 1}))
    check_run(run({"df.group.mode": "off", "df.repair.model_path": "/nowhere"}))


ESTIMATOR, LOSS = "algorithm.adv_estimator", "actor_rollout_ref.actor.policy_loss.loss_mode"
AGGREGATION = "actor_rollout_ref.actor.loss_agg_mode"
PPO = {"algorithm.adv_estimator": "df_gae", "critic.enable": True, "df.group.mode": "gate_only"}
FILTER = {"algorithm.filter_groups.enable": True}
ANSWER = {"df.group.on_no_correct": "annotated_answer"}
PREFERRED = {"df.group.reference": "preferred"}
GATED = {"df.gate.normalizer": "gated"}
# 512 + 2 x 512 tokens, and the words around them
SHOWN = {
    "df.weight.kind": "rlsd",
    "actor_rollout_ref.rollout.log_prob_use_dynamic_bsz": True,
    "actor_rollout_ref.rollout.log_prob_max_token_len_per_gpu": 1599,
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"trainer.v1.trainer_mode": "sync"},
            "trainer.v1.trainer_mode=sync: DF needs df_sync (the default of df_trainer.yaml)",
        ),
        (
            {ESTIMATOR: "grpo"},
            "adv_estimator=grpo: DF needs df_grpo, the same with a gate (choose it with objective=",
        ),
        ({ESTIMATOR: "df_rlo"}, "adv_estimator=df_rlo: verl has no such name; did you mean 'df_rloo'? (choose it with"),
        (
            {ESTIMATOR: "df_remax"},
            "adv_estimator=df_remax: verl's remax cannot be gated: it needs the reward of a",
        ),
        (
            {LOSS: "vanilla"},
            "loss_mode=vanilla: DF needs df_vanilla, the same with a gate (choose it with objective=",
        ),
        (
            {LOSS: "df_kl_cov"},
            "loss_mode=df_kl_cov: verl's kl_cov cannot be gated: its KL term is not multiplied",
        ),
        (
            {LOSS: "dro"},
            "loss_mode=dro: verl's dro cannot be gated: its quadratic term is not multiplied",
        ),
        (
            {LOSS: "df_sapo", AGGREGATION: "token-mean"},
            "loss_agg_mode=token-mean: df_sapo always takes seq-mean",
        ),
        ({"reward.reward_manager.name": "naive"}, "reward.reward_manager.name=naive: DF needs df"),
        ({"trainer.use_v1": False}, "trainer.use_v1=False"),
        ({"reward.reward_model.enable": True}, "reward.reward_model.enable=True"),
        ({"data.train_batch_size": 6}, "data.train_batch_size=6 is not a multiple of actor_rollout_ref.actor.ppo_mini"),
        ({"actor_rollout_ref.rollout.n": 1}, "actor_rollout_ref.rollout.n=1: a wrong rollout has no right sibling"),
        ({"actor_rollout_ref.actor.shuffle": True}, "actor.shuffle=True parts wrong rollouts from their repairs"),
        ({"algorithm.rollout_correction.bypass_mode": True}, "use df.group.mode=gate_only"),
        ({"actor_rollout_ref.rollout.enable_rollout_routing_replay": True}, "use df.group.mode=gate_only"),
        ({"distillation.enabled": True}, "distillation.enabled=True"),
        ({"actor_rollout_ref.rollout.max_model_len": 1000}, "a prompt and a response can have 1024 tokens together"),
        ({"algorithm.use_kl_in_reward": True}, "use actor_rollout_ref.actor.use_kl_loss=True, which is not gated"),
        ({"actor_rollout_ref.rollout.temperature": 0}, "df.repair.n=2 greedy repairs would all be the same"),
        ({"actor_rollout_ref.rollout.full_determinism": True}, "set df.repair.rollout.full_determinism=False"),
        (
            {"df.repair.rollout": {"gpu_memory_utilisation": 0.2}},
            "unknown key 'df.repair.rollout.gpu_memory_utilisation': not in actor_rollout_ref.rollout; "
            "did you mean 'gpu_memory_utilization'?",
        ),
        ({"df.group.mode": "repair_pair"}, "did you mean 'repair_pairs'?"),
        (PPO | {"critic.enable": None}, "critic.enable=None: algorithm.adv_estimator=df_gae needs a critic"),
        (PPO | {"critic.enable": False}, "critic.enable=False: algorithm.adv_estimator=df_gae needs a critic"),
        ({"critic.enable": True}, "critic.enable=True with df.group.mode=repair_pairs"),
        (PPO | {"df.group.on_infeasible": "drop"}, "df.group.on_infeasible=drop takes rows out of the batch"),
        ({"algorithm.use_pf_ppo": True}, "algorithm.use_pf_ppo=True"),
        (PPO | {"algorithm.use_pf_ppo": True}, "algorithm.use_pf_ppo=True"),
        (PPO | {"actor_rollout_ref.rollout.n": 1}, "with df.group.on_no_correct=annotated_answer"),
        (ANSWER | {"actor_rollout_ref.rollout.n": 1}, "actor_rollout_ref.rollout.n=1"),
        (PREFERRED | ANSWER, "df.group.on_no_correct=annotated_answer would have no effect; set it to skip"),
        (PREFERRED | {"actor_rollout_ref.rollout.n": 1}, "actor_rollout_ref.rollout.n=1"),
        ({"df.group.reference": "prefered"}, "did you mean 'preferred'?"),
        (FILTER | ANSWER, "df.group.on_no_correct=annotated_answer would have no effect"),
        (GATED | {AGGREGATION: "seq-mean-token-sum"}, "loss_agg_mode=seq-mean-token-sum has no mean over tokens"),
        (
            SHOWN | {"df.group.mode": "off"},
            "which can have 1600 tokens together, and actor_rollout_ref.rollout.log_prob_max",
        ),
    ],
)
def test_contradicting_settings_are_refused(run, changes: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        check_run(run(changes))


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("mode", ["repair_pairs", "gate_only", "off"])
def test_an_estimator_is_refused_outside_its_group_modes(run, estimator: str, mode: str) -> None:
    config = run({ESTIMATOR: gated(estimator), "df.group.mode": mode, "critic.enable": estimator == "gae"})
    df = load_df_config(config.df)
    if mode in ESTIMATORS[estimator]:
        check_choices(config, df)
        return
    message = (
        f"algorithm.adv_estimator=df_{estimator} is not for df.group.mode={mode} .* set the mode to gate_only or off"
    )
    with pytest.raises(ConfigError, match=message):
        check_choices(config, df)


@pytest.mark.parametrize(
    "changes",
    [
        PPO,
        PPO | ANSWER | {"actor_rollout_ref.rollout.n": 1},
        PPO | PREFERRED | {"actor_rollout_ref.rollout.n": 1},
        FILTER | PREFERRED,
        PREFERRED | ANSWER | {"df.group.mode": "off"},
        PPO | {"actor_rollout_ref.actor.shuffle": True},
        {"df.mini_batches": "verl", "actor_rollout_ref.actor.shuffle": True},
        PPO | {"df.group.on_infeasible": "zero"},
        PPO | {"df.group.on_infeasible": "drop", "df.group.mode": "off"},
        {"df.group.on_infeasible": "drop"},
        FILTER,
        ANSWER,
        FILTER | ANSWER | {"df.group.mode": "off"},
        GATED,
        GATED | {AGGREGATION: "token-mean"},
        {AGGREGATION: "seq-mean-token-sum"},
        {"algorithm.rollout_correction.bypass_mode": True, "df.group.mode": "gate_only"},
        {"actor_rollout_ref.rollout.enable_rollout_routing_replay": True, "df.group.mode": "gate_only"},
        {"actor_rollout_ref.rollout.full_determinism": True, "df.repair.rollout": {"full_determinism": False}},
        {"actor_rollout_ref.rollout.temperature": 0, "df.repair.n": 1},
        {"actor_rollout_ref.rollout.temperature": 0, "df.repair.temperature": 0.7},
        {"actor_rollout_ref.rollout.full_determinism": True, "df.group.mode": "off"},
        {"data.train_batch_size": 12},
        SHOWN | {"actor_rollout_ref.rollout.log_prob_max_token_len_per_gpu": 1600},
        SHOWN | {"actor_rollout_ref.rollout.log_prob_use_dynamic_bsz": False},
        SHOWN | {"df.weight.kind": "tor"},
    ],
)
def test_settings_that_only_look_contradictory_pass(run, changes: dict) -> None:
    config = run(changes)
    check_choices(config, load_df_config(config.df))


@pytest.mark.parametrize("length", [-1, 0, 1, 99, 100, 4096])
@pytest.mark.parametrize(("manager", "enable"), [("dapo", True), ("dapo", False), ("naive", True)])
def test_the_buffer_for_overlong_responses_fits_into_a_response(run, length: int, manager: str, enable: bool) -> None:
    config = run({"df.reward_manager": manager, "data.max_response_length": 100})
    shaping = {"overlong_buffer_cfg": {"enable": enable, "len": length}}
    OmegaConf.update(config, "reward.reward_kwargs", shaping, force_add=True)
    df = load_df_config(config.df)
    if manager == "dapo" and enable and length not in (1, 99):
        with pytest.raises(ConfigError, match=f"overlong_buffer_cfg.len={length}: .*=100; .* a fifth .* here 20$"):
            check_choices(config, df)
    else:
        check_choices(config, df)


def test_a_distilled_run_is_refused_in_every_mode(run) -> None:
    # DF's worker sets its own loss, so verl's distillation term would silently be left out
    for mode in ("repair_pairs", "gate_only", "off"):
        with pytest.raises(ConfigError, match="distillation.enabled=True"):
            check_run(run({"df.group.mode": mode, "distillation.enabled": True}))


# ---- models ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["actor_rollout_ref.model.path", "df.repair.model_path"])
def test_model_paths_that_hold_no_model_are_refused(run, tmp_path: Path, key: str) -> None:
    (tmp_path / "empty").mkdir()
    for path, message in (
        (None, f"{key} is not set: give a Hugging Face folder or hub name"),
        (str(tmp_path / "nowhere"), f"{key}={tmp_path}/nowhere: no such folder"),
        ("./nowhere", f"{key}=./nowhere: no such folder"),
        ("outputs/toy/nowhere", f"{key}=outputs/toy/nowhere: no such folder"),
        (str(tmp_path / "empty"), "the folder has no config.json, so it is no Hugging Face model folder"),
    ):
        with pytest.raises(ConfigError, match=re.escape(message)):
            check_run(run({key: path}))


def test_a_critics_model_is_checked_like_the_policys(run, tmp_path: Path) -> None:
    check_run(run(PPO | {"critic.model.path": str(tmp_path / "policy")}))
    nowhere = {"critic.model.path": "/nowhere/model"}
    check_run(run(nowhere))  # no critic, so never looked at
    with pytest.raises(ConfigError, match="critic.model.path=/nowhere/model: no such folder"):
        check_run(run(PPO | nowhere))


def test_a_variant_is_a_model_folder_in_the_folder_of_variants(run, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    changes = {"df.repair.model_path": None, "df.repair.models_dir": str(folder)}
    with pytest.raises(ConfigError, match=f"df.repair.models_dir={folder}: no such folder"):
        check_run(run(changes))
    (folder / "notes").mkdir(parents=True)
    with pytest.raises(
        ConfigError, match=f"variant=full: no model folder of that name in .*={folder}, which has none$"
    ):
        check_run(run(changes))
    model_folder(folder / "full")
    model_folder(folder / "lambda_0.2")
    assert check_run(run(changes)).repair.path == str(folder / "full")
    assert check_run(run(changes | {"df.repair.variant": "lambda_0.2"})).repair.path == str(folder / "lambda_0.2")
    has = f"no model folder of that name in df.repair.models_dir={folder}, which has full, lambda_0.2"
    for variant, hint in (("lambda_0.3", "; did you mean 'lambda_0.2'?"), ("notes", ""), ("../models/full", "")):
        message = f"df.repair.variant={variant}: {has}{hint}"
        with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
            check_run(run(changes | {"df.repair.variant": variant}))


def test_a_variant_must_have_the_policys_tokenizer_too(run, tmp_path: Path) -> None:
    other = model_folder(tmp_path / "models/full", vocabulary=VOCABULARY | {"a": 1, "b": 0})
    with pytest.raises(ConfigError, match=f"df.repair.models_dir: the tokenizer of {other} is not the policy's"):
        check_run(run({"df.repair.model_path": None, "df.repair.models_dir": str(tmp_path / "models")}))


def test_a_hub_name_is_left_to_the_loader() -> None:
    assert checks.check_model_path("model", "Qwen/Qwen2.5-VL-7B-Instruct") == "Qwen/Qwen2.5-VL-7B-Instruct"


def test_a_model_folder_without_tokenizer_is_refused(run, tmp_path: Path) -> None:
    folder = tmp_path / "bare"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "of_no_library"}))
    with pytest.raises(ConfigError, match=f"df.repair.model_path: no tokenizer could be loaded from {folder}"):
        check_run(run({"df.repair.model_path": str(folder)}))


def test_another_tokenizer_is_refused_with_the_first_difference(run, tmp_path: Path) -> None:
    other = model_folder(tmp_path / "other", vocabulary=VOCABULARY | {"a": 1, "b": 0})
    with pytest.raises(ConfigError, match="the tokenizer of .* is not the policy's .* token 'a' has id 0 against 1"):
        check_run(run({"df.repair.model_path": other}))


def test_the_policys_tokenizer_may_lie_elsewhere(run, tmp_path: Path) -> None:
    other = {"vocabulary": VOCABULARY | {"a": 1, "b": 0}}
    changes = {
        "df.repair.model_path": model_folder(tmp_path / "other", **other),
        "actor_rollout_ref.model.tokenizer_path": model_folder(tmp_path / "tokenizer", **other),
    }
    check_run(run(changes))


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        ({}, None),
        ({"vocabulary": VOCABULARY | {"c": 5}}, "5 tokens against 6"),
        ({"vocabulary": {**VOCABULARY, "a": 1, "b": 0}}, "token 'a' has id 0 against 1"),
        ({"end": "<pad>"}, "end token '<end>' against '<pad>'"),
        ({"merges": ()}, "the same tokens, but other rules to merge them"),
    ],
)
def test_difference_of_two_tokenizers(other: dict, difference: str | None) -> None:
    assert tokenizer_difference(tokenizer(), tokenizer(**other)) == difference


def test_a_template_is_checked(run, tmp_path: Path) -> None:
    file = tmp_path / "template.txt"
    with pytest.raises(ConfigError, match=f"df.repair.prompt_template={file}: no such file"):
        check_run(run({"df.repair.prompt_template": str(file)}))
    file.write_text("{question} {response}")
    with pytest.raises(ConfigError, match="must contain {reference} exactly once"):
        check_run(run({"df.repair.prompt_template": str(file)}))


# ---- data ------------------------------------------------------------------------------------------------------------


def check(file: str, decode: int = -1) -> None:
    check_data_file("data.train_files", file, "images", "prompt", decode)


@pytest.mark.parametrize("column", ["images", "prompt", "reward_model", "data_source"])
def test_a_file_without_a_column_is_refused(tmp_path: Path, column: str) -> None:
    file = parquet(tmp_path / "f.parquet", [row()], **{column: None})
    with pytest.raises(ConfigError, match=f"data.train_files: .*f.parquet has no column '{column}' .*data.image_key"):
        check(file)


def test_a_run_checks_all_its_files(run, tmp_path: Path) -> None:
    bad = parquet(tmp_path / "bad.parquet", [row(images=[])])
    good = parquet(tmp_path / "good.parquet", [row()])
    for key in ("data.train_files", "data.val_files"):
        with pytest.raises(ConfigError, match=f"{key}: {bad}, row 0: no image"):
            check_run(run({key: [good, bad]}))


@pytest.mark.parametrize(
    ("images", "problem"),
    [
        ([], "no image"),
        ([{"bytes": png()[:60], "path": None}], "image 0: image file is truncated"),
        ([{"bytes": png(), "path": None}, {"bytes": b"no picture", "path": None}], "image 1: 10 bytes in no known"),
        ([{"bytes": None, "path": "nowhere.png"}], "image 0: its 'bytes' are null, and verl does not look at 'path'"),
    ],
)
def test_a_bad_image_is_named_by_its_row(tmp_path: Path, images: list, problem: str) -> None:
    # more rows than are read at once, so that the count goes on across batches
    markers = [{"role": "user", "content": "<image>" * len(images) + "How many?"}]
    rows = [row() for _ in range(ROWS_AT_ONCE + 3)] + [row(images=images) | {"prompt": markers}, row()]
    file = parquet(tmp_path / "f.parquet", rows)
    with pytest.raises(ConfigError, match=f"data.train_files: {file}, row {ROWS_AT_ONCE + 3}: {problem}"):
        check(file)


def test_a_null_list_of_images_is_no_image(tmp_path: Path) -> None:
    file = tmp_path / "f.parquet"
    pd.DataFrame([row(), row() | {"images": None}]).to_parquet(file)
    with pytest.raises(ConfigError, match="row 1: no image"):
        check(str(file))


def test_only_the_asked_number_of_rows_is_decoded(tmp_path: Path) -> None:
    file = parquet(tmp_path / "f.parquet", [row(), row(images=[])])
    check(file, decode=0)
    check(file, decode=1)
    for decode in (2, 100, -1):
        with pytest.raises(ConfigError, match="row 1: no image"):
            check(file, decode)


def test_images_may_be_paths(tmp_path: Path) -> None:
    picture = tmp_path / "p.png"
    picture.write_bytes(png())
    check(parquet(tmp_path / "f.parquet", [row(images=[str(picture)]), row(images=[f"file://{picture}"])]))
    check(parquet(tmp_path / "g.parquet", [row(images=[{"image": str(picture)}])]))


def test_files_elsewhere_are_left_to_verl_and_images_elsewhere_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="row 0: image 0: 'https://example.org/p.png' is on the network"):
        check(parquet(tmp_path / "f.parquet", [row(images=["https://example.org/p.png"])]))
    check_data_file("data.train_files", "hdfs://cluster/train.parquet", "images", "prompt", -1)


def test_files_of_other_kinds(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("{}")
    check(str(tmp_path / "rows.jsonl"))  # left to verl
    with pytest.raises(ConfigError, match="data.train_files: no such file"):
        check(str(tmp_path / "nowhere.parquet"))
    (tmp_path / "broken.parquet").write_text("no parquet")
    with pytest.raises(ConfigError, match="broken.parquet: no readable parquet file"):
        check(str(tmp_path / "broken.parquet"))


# ---- preferred responses ---------------------------------------------------------------------------------------------


def with_preferred(*responses: object) -> list[dict]:
    return [row() | {"extra_info": {"index": 0, "preferred_response": response}} for response in responses]


def test_every_training_row_has_a_preferred_response_where_they_are_references(run, tmp_path: Path) -> None:
    files = [parquet(tmp_path / f"{number}.parquet", with_preferred("so 3", "thus 3")) for number in range(2)]
    check_run(run(PREFERRED | {"data.train_files": files}))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([row()], "row 0: extra_info.preferred_response is missing"),
        ([row() | {"extra_info": None}], "row 0: extra_info.preferred_response is missing"),
        (with_preferred(*["so 3"] * 300, None), "row 300: extra_info.preferred_response is missing"),
        (with_preferred("so 3", " "), "row 1: extra_info.preferred_response is empty"),
        (with_preferred(3, 4), "row 0: extra_info.preferred_response is 3: write a text"),
        (with_preferred("so 3", "see <image>"), "row 1: extra_info.preferred_response holds the marker <image>"),
    ],
)
def test_a_row_without_preferred_response_is_refused_where_it_is_the_reference(
    run, tmp_path: Path, rows: list[dict], message: str
) -> None:
    file = parquet(tmp_path / "mine.parquet", rows)
    changes = {"data.train_files": [file]}
    with pytest.raises(ConfigError, match=f"^data.train_files: {file}, {re.escape(message)}.*sibling needs no such"):
        check_run(run(PREFERRED | changes))
    check_run(run(changes))
    check_run(run(PREFERRED | changes | {"df.group.mode": "off"}))
    with pytest.raises(ConfigError, match="sibling needs no such"):
        check_run(run(PREFERRED | changes | {"df.group.mode": "off", "df.weight.kind": "rlsd"}))


@pytest.mark.parametrize("value", [None, 2, "2.0", float("inf")])
def test_the_complexity_of_pictures_is_in_the_data_where_it_is_asked_for(run, tmp_path: Path, value: object) -> None:
    info = {"index": 0} | ({} if value is None else {"visual_entropy": value})
    changes = {"data.train_files": [parquet(tmp_path / "mine.parquet", [row() | {"extra_info": info}])]}
    with pytest.raises(ConfigError, match=f"row 0: extra_info.visual_entropy is {value}, and df.durian.perception"):
        check_run(run(changes | {"df.durian.perception": 0.2}))
    check_run(run(changes | {"df.durian.reasoning": 0.2}))
    right = parquet(tmp_path / "right.parquet", [row() | {"extra_info": {"index": 0, "visual_entropy": 2.5}}])
    check_run(run({"data.train_files": [right], "df.durian.perception": 0.2}))


N, BATCH, MINI = "actor_rollout_ref.rollout.n", "data.train_batch_size", "actor_rollout_ref.actor.ppo_mini_batch_size"


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (BATCH, "thirty", "data.train_batch_size: expected int, got 'thirty'"),
        (BATCH, "32", "data.train_batch_size: expected int, got '32'"),
        (BATCH, 32.0, "data.train_batch_size: expected int, got 32.0"),
        (MINI, 0, "actor_rollout_ref.actor.ppo_mini_batch_size=0: must be more than 0"),
        (N, None, "actor_rollout_ref.rollout.n: expected int, got None"),
        (N, "four", "actor_rollout_ref.rollout.n: expected int, got 'four'"),
        (N, [4], "actor_rollout_ref.rollout.n: expected int, got [4]"),
        ("critic.enable", "yes", "critic.enable: expected bool or null, got 'yes'"),
        ("trainer.use_v1", 1, "trainer.use_v1: expected bool, got 1"),
        ("data.train_files", None, "data.train_files: expected list, got None"),
        ("data.train_files", [], "data.train_files=[]: List should have at least 1 item"),
        ("data.val_files", ["a.parquet", 3], "data.val_files.1: expected str, got 3"),
        ("algorithm.adv_estimator", 5, "algorithm.adv_estimator: expected str, got 5"),
        ("algorithm.filter_groups", "on", "algorithm.filter_groups: expected a block of keys, got 'on'"),
        ("actor_rollout_ref.model.path", 7, "actor_rollout_ref.model.path: expected str or null, got 7"),
    ],
)
def test_a_value_of_another_kind_is_named(run, key: str, value: object, message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}"):
        check_run(run({key: value}))


@pytest.mark.parametrize("value", ["x", "", None, True, 0, -1, 0.5, float("nan"), [], ["x"], {}, {"a": 1}, 10**400])
def test_no_value_of_a_checked_key_ends_in_a_traceback(run, value: object) -> None:
    for key in KINDS:
        config = run({})
        OmegaConf.set_struct(config, False)
        OmegaConf.update(config, key, value, merge=False)
        try:
            check_run(config)
        except ConfigError as error:
            assert "\n" not in str(error)


def test_every_key_that_the_checks_read_has_its_kind() -> None:
    """What the checks take from verl's config by a dotted path is in the table."""
    read: set[str] = set()
    for module in (checks, repair_checks):
        text = Path(module.__file__).read_text(encoding="utf-8")
        read |= set(re.findall(r"\bconfig\.((?:data|algorithm|trainer|critic|reward)\.\w+(?:\.\w+)?)\b", text))
    leaves = {
        key for key in read if key not in ("trainer.v1", "critic.model", "algorithm.filter_groups", "algorithm.get")
    }
    assert leaves and leaves <= KINDS.keys()


def test_a_broken_config_of_a_model_is_named(run, tmp_path: Path) -> None:
    config = run({})
    (tmp_path / "policy/config.json").write_text("[" * 100_000)
    with pytest.raises(ConfigError, match=r"actor_rollout_ref.model.path: .*config.json: not JSON: JSON nested"):
        check_run(config)
