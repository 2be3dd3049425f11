# SPDX-License-Identifier: Apache-2.0
"""Everything about a run that can be known to be wrong before Ray starts.

A wrong path or a broken image found here costs a second; found by a vLLM worker it costs minutes, and may hang the run.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from omegaconf import DictConfig, ListConfig, OmegaConf
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from verl_df.io.files import read_object
from verl_df.io.validation import did_you_mean, nearest
from verl_df.method.checks import PREFERRED, preferred_response
from verl_df.method.gates import TOKEN_MEANS
from verl_df.prompts import load_template
from verl_df.rows.check import RowRules
from verl_df.rows.files import RowFile
from verl_df.rows.special_tokens import SPECIAL_TOKENS, special_tokens
from verl_df.settings.config import ConfigError, DFConfig, RepairConfig, load_df_config
from verl_df.settings.control_checks import (
    check_control,
    check_durian,
    check_loss,
    check_shaping,
    check_shown,
    check_weight,
)
from verl_df.settings.endpoint_checks import check_judge, check_repair_endpoint
from verl_df.settings.objectives import (
    ESTIMATORS,
    FIXED_AGGREGATION,
    LOSSES,
    UNGATED_ESTIMATORS,
    UNGATED_LOSSES,
    base_of,
    gated,
)
from verl_df.settings.placement_checks import asks_model, check_placement, loads_model
from verl_df.settings.speculation import check_speculation
from verl_df.settings.verl_keys import check_kinds
from verl_df.settings.videos import check_videos_allowed
from verl_df.token_weights.durian import VISUAL_ENTROPY
from verl_df.token_weights.weigh import shows_a_response

_FROM_OBJECTIVE = "choose it with objective=NAME, see recipe/df/config/objective"
FROM_YAML = "the default of df_trainer.yaml"


def check_run(config: DictConfig) -> DFConfig:
    """Check the composed config, the models and the data files.

    Returns:
        the validated `df:` block.

    Raises:
        ConfigError: the first thing found to be wrong; the message says where it is and what to write instead.
    """
    df = load_df_config(config.df)
    check_kinds(config)
    check_choices(config, df)
    check_judge(df.reward_manager, df.judge)
    model = config.actor_rollout_ref.model
    policy = check_model_path("actor_rollout_ref.model.path", model.path)
    check_sequence_parallel(config.actor_rollout_ref.actor, policy)
    if asks_model(df):
        check_repair_endpoint(df.repair)
        if loads_model(df):
            repair = check_repair_model(df.repair)
            key = "df.repair.models_dir" if df.repair.models_dir else "df.repair.model_path"
            check_same_tokenizer(model.tokenizer_path or policy, repair, key, model.trust_remote_code)
        check_template("df.repair.prompt_template", df.repair.prompt_template)
    if config.critic.enable:
        check_model_path("critic.model.path", config.critic.model.path)
    check_data_files(config, df.check.images)
    needs_reference = df.group.mode != "off" or shows_a_response(df.weight.kind)
    if needs_reference and df.group.reference == "preferred":
        for key, file in data_files(config):
            if key == "data.train_files":
                _check_preferred(key, file)
    if df.durian.perception:
        for key, file in data_files(config):
            if key == "data.train_files":
                _check_visual_entropy(key, file)
    return df


# ---- settings that contradict each other -----------------------------------------------------------------------------


def check_choices(config: DictConfig, df: DFConfig) -> None:
    """Refuse combinations of verl's settings with DF's that would run and be wrong.

    Raises:
        ConfigError: the contradiction.
    """
    actor, rollout = config.actor_rollout_ref.actor, config.actor_rollout_ref.rollout
    require_choice("trainer.v1.trainer_mode", config.trainer.v1.trainer_mode, ("df_sync",), FROM_YAML)
    _check_gated("algorithm.adv_estimator", config.algorithm.adv_estimator, ESTIMATORS, UNGATED_ESTIMATORS)
    _check_gated("actor_rollout_ref.actor.policy_loss.loss_mode", actor.policy_loss.loss_mode, LOSSES, UNGATED_LOSSES)
    require_choice("reward.reward_manager.name", config.reward.reward_manager.name, ("df",), FROM_YAML)
    _check_estimator(config, df)
    _check_aggregation(actor, df)
    _check_critic(config, df)
    _check_dynamic_sampling(config, df)
    _check_overlong_buffer(config, df)
    if not config.trainer.use_v1:
        raise ConfigError("trainer.use_v1=False: DF runs on verl's V1 trainer; leave it true")
    if config.reward.reward_model.enable:
        raise ConfigError(
            "reward.reward_model.enable=True: verl's reward model is not supported with DF; use a reward function"
        )
    _check_mini_batches(config, df)
    check_control(df, actor.policy_loss.loss_mode)
    check_shaping(df)
    check_durian(df, config.algorithm)
    check_loss(df, config.data.train_batch_size // actor.ppo_mini_batch_size * actor.ppo_epochs)
    check_weight(df, bool((config.algorithm.get("rollout_correction") or {}).get("bypass_mode", False)))
    limit = rollout.log_prob_max_token_len_per_gpu if rollout.log_prob_use_dynamic_bsz else None
    check_shown(df, config.data.max_prompt_length, config.data.max_response_length, limit)
    _check_references(rollout, df)
    if (config.get("distillation") or {}).get("enabled", False):
        raise ConfigError("distillation.enabled=True: DF's loss has no distillation term; set it to False")
    check_context(config)
    if df.group.mode != "off" and config.algorithm.use_kl_in_reward:
        raise ConfigError(
            "algorithm.use_kl_in_reward=True: the gate would take the KL penalty off the tokens that it closes; use "
            "actor_rollout_ref.actor.use_kl_loss=True, which is not gated"
        )
    if asks_model(df):
        _check_repair_temperature(df.repair, rollout)
        check_placement(config, df.repair)
        if loads_model(df):
            check_speculation(df.repair, rollout)
    if df.group.mode == "repair_pairs":
        _check_repaired_rows(config)


def _check_references(rollout: DictConfig, df: DFConfig) -> None:
    group = df.group
    if group.mode == "off":
        return
    preferred, answer = group.reference == "preferred", group.on_no_correct == "annotated_answer"
    if preferred and answer:
        raise ConfigError(
            "df.group.reference=preferred: a prompt without a right rollout has its preferred response, so "
            "df.group.on_no_correct=annotated_answer would have no effect; set it to skip"
        )
    if rollout.n < 2 and not (group.mode == "gate_only" and (preferred or answer)):
        raise ConfigError(
            f"actor_rollout_ref.rollout.n={rollout.n}: a wrong rollout has no right sibling to be repaired after; "
            "sample at least 2 per prompt, or gate only (df.group.mode=gate_only) with "
            "df.group.on_no_correct=annotated_answer or df.group.reference=preferred"
        )


def check_context(config: DictConfig) -> None:
    """Raise ConfigError where vLLM's longest sequence is shorter than a prompt with its response."""
    wanted, longest = config.data.max_prompt_length + config.data.max_response_length, config.actor_rollout_ref.rollout
    if longest.max_model_len is not None and longest.max_model_len < wanted:
        raise ConfigError(
            f"actor_rollout_ref.rollout.max_model_len={longest.max_model_len}: a prompt and a response can have "
            f"{wanted} tokens together (data.max_prompt_length + data.max_response_length)"
        )


def _check_gated(key: str, name: str, offered: Iterable[str], refused: Mapping[str, str]) -> None:
    """Raise ConfigError unless `name` is one of `offered` with a gate; `refused`: why the others of verl have none."""
    names, base = [gated(one) for one in offered], base_of(name)
    if name in names:
        return
    if base in refused:
        raise ConfigError(f"{key}={name}: verl's {base} cannot be gated: {refused[base]} ({_FROM_OBJECTIVE})")
    if gated(base) in names:
        raise ConfigError(f"{key}={name}: DF needs {gated(base)}, the same with a gate ({_FROM_OBJECTIVE})")
    raise ConfigError(f"{key}={name}: verl has no such name; {nearest(name, names)} ({_FROM_OBJECTIVE})")


def _check_aggregation(actor: DictConfig, df: DFConfig) -> None:
    loss, aggregation = actor.policy_loss.loss_mode, actor.loss_agg_mode
    fixed = FIXED_AGGREGATION.get(base_of(loss), aggregation)
    if aggregation != fixed:
        raise ConfigError(
            f"actor_rollout_ref.actor.loss_agg_mode={aggregation}: {loss} always takes {fixed}, and verl would ignore "
            f"the setting; set it to {fixed}"
        )
    if df.gate.normalizer == "gated" and aggregation not in TOKEN_MEANS:
        raise ConfigError(
            f"df.gate.normalizer=gated takes a mean over gated tokens, and actor_rollout_ref.actor.loss_agg_mode="
            f"{aggregation} has no mean over tokens: set it to {' or '.join(TOKEN_MEANS)}"
        )


def _check_mini_batches(config: DictConfig, df: DFConfig) -> None:
    actor, batch = config.actor_rollout_ref.actor, config.data.train_batch_size
    if batch % actor.ppo_mini_batch_size:
        raise ConfigError(
            f"data.train_batch_size={batch} is not a multiple of "
            f"actor_rollout_ref.actor.ppo_mini_batch_size={actor.ppo_mini_batch_size}"
        )
    if actor.shuffle and df.mini_batches == "fixed" and df.group.mode == "repair_pairs":
        raise ConfigError(
            "actor_rollout_ref.actor.shuffle=True parts wrong rollouts from their repairs, and may leave mini-batches "
            "of verl's empty rows alone: set it to False, or df.mini_batches=verl"
        )


def _check_estimator(config: DictConfig, df: DFConfig) -> None:
    estimator = config.algorithm.adv_estimator
    modes = ESTIMATORS[base_of(estimator)]
    if df.group.mode not in modes:
        raise ConfigError(
            f"algorithm.adv_estimator={estimator} is not for df.group.mode={df.group.mode} (no repaired row is trained "
            f"on there): set the mode to {' or '.join(modes)}, or choose another objective"
        )
    if config.algorithm.use_pf_ppo:
        raise ConfigError(
            "algorithm.use_pf_ppo=True: verl reweights the rows for its own `gae` only, so the setting would be "
            "ignored; set it to False"
        )


def _check_critic(config: DictConfig, df: DFConfig) -> None:
    if config.algorithm.adv_estimator == "df_gae" and not config.critic.enable:
        raise ConfigError(
            f"critic.enable={config.critic.enable}: algorithm.adv_estimator=df_gae needs a critic; set it to True"
        )
    if not config.critic.enable or df.group.mode == "off":
        return
    if df.group.mode == "repair_pairs":
        raise ConfigError(
            "critic.enable=True with df.group.mode=repair_pairs: a critic is trained on sampled rollouts, not on "
            "repairs; use df.group.mode=gate_only or off, or critic.enable=False"
        )
    if df.group.on_infeasible == "drop":
        raise ConfigError(
            "df.group.on_infeasible=drop takes rows out of the batch that the critic learns from: use keep or zero"
        )


def _check_dynamic_sampling(config: DictConfig, df: DFConfig) -> None:
    if not config.algorithm.filter_groups.enable or df.group.mode == "off":
        return
    if df.group.on_no_correct == "annotated_answer":
        raise ConfigError(
            "algorithm.filter_groups.enable=True replaces prompts whose rollouts are all wrong before DF sees them, so "
            "df.group.on_no_correct=annotated_answer would have no effect: set it to skip, or switch the filter off"
        )


def _check_overlong_buffer(config: DictConfig, df: DFConfig) -> None:
    buffer = OmegaConf.select(config, "reward.reward_kwargs.overlong_buffer_cfg")
    if df.reward_manager != "dapo" or not buffer or not buffer.enable:
        return
    limit = config.data.max_response_length
    if not 0 < buffer.len < limit:
        raise ConfigError(
            f"reward.reward_kwargs.overlong_buffer_cfg.len={buffer.len}: tokens, more than 0 and fewer than "
            f"data.max_response_length={limit}; the DAPO paper takes a fifth of the limit, here {max(1, limit // 5)}"
        )


def _check_repair_temperature(repair: RepairConfig, rollout: DictConfig) -> None:
    if repair.temperature is None and rollout.temperature == 0 and repair.n > 1:
        raise ConfigError(
            f"actor_rollout_ref.rollout.temperature=0: df.repair.n={repair.n} greedy repairs would all be the same; "
            "set df.repair.temperature, or df.repair.n=1"
        )


def _check_repaired_rows(config: DictConfig) -> None:
    correction = config.algorithm.get("rollout_correction") or {}
    if correction.get("bypass_mode", False):
        raise ConfigError(
            "algorithm.rollout_correction.bypass_mode=True takes the rollout engine's log-probabilities for the "
            "policy's, and a repaired row has none: set it to False, or use df.group.mode=gate_only"
        )
    if config.actor_rollout_ref.rollout.get("enable_rollout_routing_replay", False):
        raise ConfigError(
            "actor_rollout_ref.rollout.enable_rollout_routing_replay=True replays the engine's expert choices, and a "
            "repaired row has none: set it to False, or use df.group.mode=gate_only"
        )


def require_choice(key: str, value: str, allowed: Sequence[str], where: str) -> None:
    """Raise ConfigError unless `value` is allowed; `where` says what sets it."""
    if value not in allowed:
        raise ConfigError(f"{key}={value}: DF needs {' or '.join(allowed)} ({where})")


# ---- models ----------------------------------------------------------------------------------------------------------


def _model_type(folder: Path) -> str | None:
    """Of a model folder; None for a hub name."""
    return read_object(folder / "config.json").get("model_type") if folder.is_dir() else None


def check_sequence_parallel(actor: DictConfig, path: str) -> None:
    """Refuse Ulysses for InternVL: verl 0.9.1 slices the sequences of other models only.

    Raises:
        ConfigError: what to set.
    """
    for key in ("ulysses_sequence_parallel_size", "fsdp_config.ulysses_sequence_parallel_size"):
        size = OmegaConf.select(actor, key, default=1)
        if size > 1 and _model_type(Path(path).expanduser()) == "internvl":
            raise ConfigError(
                f"actor_rollout_ref.actor.{key}={size}: verl gives each rank of an InternVL whole sequences and takes "
                "them for shards; set it to 1"
            )


def check_model_path(key: str, path: str | None) -> str:
    """A folder with a `config.json`, or a hub name, which is left to the loader.

    Raises:
        ConfigError: nothing given, or a path that is no model folder.
    """
    if not path:
        raise ConfigError(f"{key} is not set: give a Hugging Face folder or hub name")
    folder = Path(path).expanduser()
    looks_local = path.startswith((".", "/", "~")) or len(folder.parts) > 2
    if looks_local and not folder.is_dir():
        raise ConfigError(f"{key}={path}: no such folder")
    if folder.is_dir() and not (folder / "config.json").is_file():
        raise ConfigError(f"{key}={path}: the folder has no config.json, so it is no Hugging Face model folder")
    try:
        model_type = _model_type(folder)
    except ValueError as error:
        raise ConfigError(f"{key}: {error}") from error
    if model_type == "internvl_chat":
        raise ConfigError(
            f"{key}={path}: an InternVL in its makers' own form, which verl cannot train; take the checkpoint in "
            "transformers' form, whose name ends in -HF"
        )
    return path


def check_repair_model(repair: RepairConfig) -> str:
    """The repair model's path: `df.repair.model_path`, or the variant's folder in `df.repair.models_dir`.

    Raises:
        ConfigError: neither is set, no such folder, or no model folder of the variant's name in it.
    """
    if not repair.path:
        raise ConfigError(
            "df.repair.model_path is not set: give a Hugging Face folder or hub name, or in df.repair.models_dir a "
            "folder with one repair model per variant"
        )
    if not repair.models_dir:
        return check_model_path("df.repair.model_path", repair.path)
    folder = Path(repair.models_dir).expanduser()
    if not folder.is_dir():
        raise ConfigError(f"df.repair.models_dir={repair.models_dir}: no such folder")
    found = sorted(path.parent.name for path in folder.glob("*/config.json"))
    if repair.variant not in found:
        hint = did_you_mean(repair.variant, found)
        raise ConfigError(
            f"df.repair.variant={repair.variant}: no model folder of that name in df.repair.models_dir={folder}, which "
            f"has {', '.join(found) or 'none'}{hint and '; ' + hint}"
        )
    return repair.path


def check_same_tokenizer(policy: str, repair: str, repair_key: str, trust_remote_code: bool = False) -> None:
    """Repairs are aligned with rollouts token by token, so both models must cut text in the same way.

    Raises:
        ConfigError: the two tokenizers differ, with the first difference, or one cannot be loaded.
    """
    ours = _load_tokenizer("actor_rollout_ref.model", policy, trust_remote_code)
    theirs = _load_tokenizer(repair_key, repair, trust_remote_code)
    difference = tokenizer_difference(ours, theirs)
    if difference:
        raise ConfigError(
            f"{repair_key}: the tokenizer of {repair} is not the policy's ({policy}): {difference}. Repairs are "
            "aligned with rollouts token by token; train the repair model from the policy"
        )


def _load_tokenizer(key: str, path: str, trust_remote_code: bool) -> PreTrainedTokenizerBase:
    try:
        return AutoTokenizer.from_pretrained(path, trust_remote_code=trust_remote_code)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{key}: no tokenizer could be loaded from {path}: {' '.join(str(error).split())}") from error


def tokenizer_difference(ours: PreTrainedTokenizerBase, theirs: PreTrainedTokenizerBase) -> str | None:
    """The first difference of two tokenizers in words, or None. Ids decide the alignment, the end token the length."""
    if len(ours) != len(theirs):
        return f"{len(ours)} tokens against {len(theirs)}"
    vocabulary, other = ours.get_vocab(), theirs.get_vocab()
    for token, number in sorted(vocabulary.items(), key=lambda item: item[1]):
        if other.get(token) != number:
            return f"token {token!r} has id {number} against {other.get(token)}"
    if ours.eos_token_id != theirs.eos_token_id:
        return f"end token {ours.eos_token!r} against {theirs.eos_token!r}"
    if _merges(ours) != _merges(theirs):
        return "the same tokens, but other rules to merge them"
    return None


def _merges(tokenizer: PreTrainedTokenizerBase) -> Any:
    if not tokenizer.is_fast:
        return None
    return json.loads(tokenizer.backend_tokenizer.to_str())["model"].get("merges")


def check_template(key: str, path: str | None) -> None:
    """A repair prompt's template file that can be used; None: the packaged one. Raises: ConfigError."""
    if path is None:
        return
    if not Path(path).is_file():
        raise ConfigError(f"{key}={path}: no such file")
    try:
        load_template(Path(path))
    except ValueError as error:
        raise ConfigError(f"{key}: {error}") from error


# ---- data ------------------------------------------------------------------------------------------------------------


def data_files(config: DictConfig) -> Iterator[tuple[str, str]]:
    """Key and name of each file that a run reads, training data first."""
    for key in ("train_files", "val_files"):
        for file in as_list(config.data[key]):
            yield f"data.{key}", file


def tokens_at_hand(model: DictConfig) -> frozenset[str]:
    """What the policy reads as its own tokens, by its tokenizer where that lies here, else those of all models."""
    path = str(model.tokenizer_path or model.path)
    if not Path(path).expanduser().is_dir():
        return SPECIAL_TOKENS
    return special_tokens(_load_tokenizer("actor_rollout_ref.model", path, model.trust_remote_code))


def check_data_files(config: DictConfig, rows: int) -> None:
    """Check the files that a run reads, and that model and engine take their videos.

    Args:
        config: the composed config.
        rows: as in `check_data_file`.

    Raises:
        ConfigError: the first thing found to be wrong.
    """
    data, model = config.data, config.actor_rollout_ref.model
    keys = (data.image_key, data.prompt_key)
    tokens = tokens_at_hand(model)
    most = [check_data_file(key, file, *keys, rows, data.video_key, tokens) for key, file in data_files(config)]
    check_videos_allowed(config, _model_type(Path(model.path).expanduser()), max(most))


def check_data_file(
    key: str,
    file: str,
    image_key: str,
    prompt_key: str,
    decode: int,
    video_key: str = "videos",
    tokens: frozenset[str] = SPECIAL_TOKENS,
) -> int:
    """Check the columns of a parquet file and its first rows, images and videos included.

    Args:
        key: the config key that names the file, for the message.
        file: local path; remote files and JSON files are left to verl.
        image_key, prompt_key, video_key: columns as in verl's `data` block.
        decode: rows that are checked; -1: all, 0: none.
        tokens: texts that the model reads as its own tokens.

    Returns:
        how many videos a row has, at most, of those that were looked at.

    Raises:
        ConfigError: no such file, a missing column, or a row that verl cannot read; see `rows.check`.
    """
    path = Path(file).expanduser()
    if "://" in file:
        return 0
    if not path.is_file():
        raise ConfigError(f"{key}: no such file {file}")
    if path.suffix != ".parquet":
        return 0
    try:
        rules = RowRules(
            path.parent, prompt_key=prompt_key, image_key=image_key, video_key=video_key, videos=True, tokens=tokens
        )
        data = RowFile(path, rules)
        return data.check(range(data.rows if decode < 0 else min(decode, data.rows)))
    except ValueError as error:
        raise ConfigError(f"{key}: {error}") from error


def _check_preferred(key: str, file: str) -> None:
    """Raise ConfigError unless each row has a preferred response; what is no parquet is left to the trainer."""
    path = Path(file).expanduser()
    if path.suffix != ".parquet" or "://" in file:
        return
    table, row = pq.ParquetFile(path), 0
    for batch in table.iter_batches(columns=[f"extra_info.{PREFERRED}"]):
        for values in batch.to_pylist():
            try:
                preferred_response(values.get("extra_info") or {})
            except ValueError as error:
                raise ConfigError(
                    f"{key}: {file}, row {row}: {error} (df.group.reference=preferred; sibling needs no such column)"
                ) from error
            row += 1


def _check_visual_entropy(key: str, file: str) -> None:
    """Raise ConfigError unless each row has its picture's complexity; what is no parquet is left to the trainer."""
    path = Path(file).expanduser()
    if path.suffix != ".parquet" or "://" in file:
        return
    row = 0
    for batch in pq.ParquetFile(path).iter_batches(columns=[f"extra_info.{VISUAL_ENTROPY}"]):
        for values in batch.to_pylist():
            found = (values.get("extra_info") or {}).get(VISUAL_ENTROPY)
            if not isinstance(found, float) or not math.isfinite(found):
                raise ConfigError(
                    f"{key}: {file}, row {row}: extra_info.{VISUAL_ENTROPY} is {found}, and df.durian.perception needs "
                    "the complexity of each picture: verl-df data visual-entropy writes it"
                )
            row += 1


def as_list(files: Any) -> list[str]:
    """Files of a key of `data` that may hold one or several."""
    return list(files) if isinstance(files, list | ListConfig) else [files]
