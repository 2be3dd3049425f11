# SPDX-License-Identifier: Apache-2.0
"""Everything about a run that can be known to be wrong before Ray starts.

A wrong path or a broken image found here costs a second; found by a vLLM worker it costs minutes, and may hang the run.
"""

import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from omegaconf import DictConfig, ListConfig
from PIL import Image
from pyarrow import ArrowInvalid
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from verl_df.config import ConfigError, DFConfig, load_df_config, nearest
from verl_df.prompts import load_template

ESTIMATORS = ("df_grpo",)
LOSSES = ("df_vanilla",)
_ROWS_AT_ONCE = 256
_NOT_LOCAL = ("http://", "https://", "data:image")


def check_run(config: DictConfig) -> DFConfig:
    """Check the composed config, the models and the data files.

    Returns:
        the validated `df:` block.

    Raises:
        ConfigError: the first thing found to be wrong; the message says where it is and what to write instead.
    """
    df = load_df_config(config.df)
    check_choices(config, df)
    model = config.actor_rollout_ref.model
    policy = check_model_path("actor_rollout_ref.model.path", model.path)
    if df.group.mode != "off":
        repair = check_model_path("df.repair.model_path", df.repair.model_path)
        check_same_tokenizer(model.tokenizer_path or policy, repair, model.trust_remote_code)
        _check_template(df.repair.prompt_template)
    for key in ("train_files", "val_files"):
        for file in _as_list(config.data[key]):
            check_data_file(f"data.{key}", file, config.data.image_key, config.data.prompt_key, df.check.images)
    return df


# ---- settings that contradict each other -----------------------------------------------------------------------------


def check_choices(config: DictConfig, df: DFConfig) -> None:
    """Refuse combinations of verl's settings with DF's that would run and be wrong.

    Raises:
        ConfigError: the contradiction.
    """
    actor, rollout = config.actor_rollout_ref.actor, config.actor_rollout_ref.rollout
    _require("trainer.v1.trainer_mode", config.trainer.v1.trainer_mode, ("df_sync",))
    _require("algorithm.adv_estimator", config.algorithm.adv_estimator, ESTIMATORS)
    _require("actor_rollout_ref.actor.policy_loss.loss_mode", actor.policy_loss.loss_mode, LOSSES)
    _require("reward.reward_manager.name", config.reward.reward_manager.name, ("df",))
    if not config.trainer.use_v1:
        raise ConfigError("trainer.use_v1=False: DF runs on verl's V1 trainer; leave it true")
    if config.reward.reward_model.enable:
        raise ConfigError(
            "reward.reward_model.enable=True: verl's reward model is not supported with DF; use a reward function"
        )
    batch, mini = config.data.train_batch_size, actor.ppo_mini_batch_size
    if batch % mini:
        raise ConfigError(
            f"data.train_batch_size={batch} is not a multiple of actor_rollout_ref.actor.ppo_mini_batch_size={mini}"
        )
    if df.group.mode != "off" and rollout.n < 2:
        raise ConfigError(f"actor_rollout_ref.rollout.n={rollout.n}: a group needs at least 2 rollouts per prompt")
    if (config.get("distillation") or {}).get("enabled", False):
        raise ConfigError("distillation.enabled=True: DF's loss has no distillation term; set it to False")
    if df.group.mode != "off":
        _check_repair_rollout(df.repair.rollout, rollout)
    if df.group.mode == "repair_pairs":
        _check_repaired_rows(config)


def _check_repair_rollout(changes: dict[str, Any], rollout: DictConfig) -> None:
    for key in changes:
        if key not in rollout:
            raise ConfigError(
                f"unknown key 'df.repair.rollout.{key}': not in actor_rollout_ref.rollout; {nearest(key, rollout)}"
            )
    if changes.get("full_determinism", rollout.full_determinism):
        raise ConfigError(
            "rollout.full_determinism=True gives all requests of one prompt the same id, and the samples of a repair "
            "are requests of their own: set df.repair.rollout.full_determinism=False"
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


def _require(key: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise ConfigError(f"{key}={value}: DF needs {' or '.join(allowed)} (the default of df_trainer.yaml)")


# ---- models ----------------------------------------------------------------------------------------------------------


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
    return path


def check_same_tokenizer(policy: str, repair: str, trust_remote_code: bool = False) -> None:
    """Repairs are aligned with rollouts token by token, so both models must cut text in the same way.

    Raises:
        ConfigError: the two tokenizers differ, with the first difference, or one cannot be loaded.
    """
    ours = _load_tokenizer("actor_rollout_ref.model", policy, trust_remote_code)
    theirs = _load_tokenizer("df.repair.model_path", repair, trust_remote_code)
    difference = tokenizer_difference(ours, theirs)
    if difference:
        raise ConfigError(
            f"df.repair.model_path={repair}: its tokenizer is not the policy's ({policy}): {difference}. Repairs are "
            "aligned with rollouts token by token; train the repair model from the policy"
        )


def _load_tokenizer(key: str, path: str, trust_remote_code: bool) -> PreTrainedTokenizerBase:
    try:
        return AutoTokenizer.from_pretrained(path, trust_remote_code=trust_remote_code)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{key}: no tokenizer could be loaded from {path}: {error}") from error


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


def _check_template(path: str | None) -> None:
    if path is None:
        return
    if not Path(path).is_file():
        raise ConfigError(f"df.repair.prompt_template={path}: no such file")
    try:
        load_template(Path(path))
    except ValueError as error:
        raise ConfigError(f"df.repair.prompt_template: {error}") from error


# ---- data ------------------------------------------------------------------------------------------------------------


def check_data_file(key: str, file: str, image_key: str, prompt_key: str, decode: int) -> None:
    """Check the columns of a parquet file and decode the images of its first rows.

    Args:
        key: the config key that names the file, for the message.
        file: local path; remote files and JSON files are left to verl.
        image_key, prompt_key: columns as in verl's `data` block.
        decode: rows whose images are decoded; -1: all, 0: none.

    Raises:
        ConfigError: no such file, a missing column, a row without image, or an image that does not decode.
    """
    path = Path(file).expanduser()
    if "://" in file:
        return
    if not path.is_file():
        raise ConfigError(f"{key}: no such file {file}")
    if path.suffix != ".parquet":
        return
    try:
        table = pq.ParquetFile(path)
    except ArrowInvalid as error:
        raise ConfigError(f"{key}: {file} is no readable parquet file: {error}") from error
    for column in (prompt_key, image_key, "reward_model", "data_source"):
        if column not in table.schema_arrow.names:
            raise ConfigError(
                f"{key}: {file} has no column {column!r} (it has {', '.join(table.schema_arrow.names)}). DF trains "
                "vision-language models: write verl's multimodal format, or name the column with data.image_key"
            )
    rows = table.metadata.num_rows if decode < 0 else min(decode, table.metadata.num_rows)
    _check_images(key, file, table, image_key, rows)


def _check_images(key: str, file: str, table: pq.ParquetFile, column: str, rows: int) -> None:
    first = 0
    with ThreadPoolExecutor() as pool:
        for batch in table.iter_batches(batch_size=_ROWS_AT_ONCE, columns=[column]):
            values = batch.column(0).to_pylist()[: max(0, rows - first)]
            for row, problem in enumerate(pool.map(_image_problem, values), start=first):
                if problem:
                    raise ConfigError(f"{key}: {file}, row {row}: {problem}")
            first += len(values)
            if first >= rows:
                return


def _image_problem(images: Iterable[Any] | None) -> str | None:
    """What is wrong with the images of one row, or None."""
    images = list(images) if images is not None else []
    if not images:
        return "no image"
    for number, image in enumerate(images):
        source = image if isinstance(image, str) else image.get("path") or image.get("image")
        content = None if isinstance(image, str) else image.get("bytes")
        if content is None and str(source).startswith(_NOT_LOCAL):
            continue  # left to verl, which fetches it at every visit
        try:
            with Image.open(
                BytesIO(content) if content is not None else str(source).removeprefix("file://")
            ) as picture:
                picture.load()
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            return f"image {number} cannot be read: {error}"
    return None


def _as_list(files: Any) -> list[str]:
    return list(files) if isinstance(files, list | ListConfig) else [files]
