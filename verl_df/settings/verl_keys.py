# SPDX-License-Identifier: Apache-2.0
"""The kinds of verl's settings that the checks compute with: Hydra hands over whatever was written."""

from typing import Annotated, Any

from omegaconf import DictConfig, OmegaConf
from pydantic import Field, PositiveInt, Strict, TypeAdapter, ValidationError

from verl_df.io.validation import described
from verl_df.settings.config import ConfigError

_ACTOR, _ROLLOUT, _MODEL = (f"actor_rollout_ref.{block}" for block in ("actor", "rollout", "model"))
# verl's YAML knows no 1e3 for a whole number, and neither would its code.
_COUNT, _FLAG, _TEXT = Annotated[PositiveInt, Strict()], Annotated[bool, Strict()], Annotated[str, Strict()]

KINDS: dict[str, Any] = {
    "algorithm.adv_estimator": _TEXT,
    "algorithm.filter_groups.enable": _FLAG,
    "algorithm.rollout_correction.bypass_mode": _FLAG,
    "algorithm.use_kl_in_reward": _FLAG,
    "algorithm.use_pf_ppo": _FLAG,
    "critic.enable": _FLAG | None,
    "critic.model.path": _TEXT | None,
    "data.image_key": _TEXT,
    "data.max_prompt_length": _COUNT,
    "data.max_response_length": _COUNT,
    "data.prompt_key": _TEXT,
    "data.train_batch_size": _COUNT,
    "distillation.enabled": _FLAG,
    "reward.reward_kwargs.overlong_buffer_cfg.enable": _FLAG,
    "reward.reward_kwargs.overlong_buffer_cfg.len": Annotated[int, Strict()],
    "reward.reward_manager.name": _TEXT,
    "reward.reward_model.enable": _FLAG,
    "trainer.default_local_dir": _TEXT,
    "trainer.use_v1": _FLAG,
    "trainer.v1.trainer_mode": _TEXT,
    f"{_ACTOR}.fsdp_config.ulysses_sequence_parallel_size": _COUNT,
    f"{_ACTOR}.loss_agg_mode": _TEXT,
    f"{_ACTOR}.policy_loss.loss_mode": _TEXT,
    f"{_ACTOR}.ppo_mini_batch_size": _COUNT,
    f"{_ACTOR}.shuffle": _FLAG,
    f"{_ACTOR}.ulysses_sequence_parallel_size": _COUNT,
    f"{_MODEL}.path": _TEXT | None,
    f"{_MODEL}.tokenizer_path": _TEXT | None,
    f"{_MODEL}.trust_remote_code": _FLAG,
    f"{_ROLLOUT}.agent.default_agent_loop": _TEXT,
    f"{_ROLLOUT}.enable_rollout_routing_replay": _FLAG,
    f"{_ROLLOUT}.full_determinism": _FLAG,
    f"{_ROLLOUT}.max_model_len": Annotated[PositiveInt | None, Strict()],
    f"{_ROLLOUT}.n": _COUNT,
}
"""Every key of verl's that `settings.checks` and `settings.repair_checks` read, and what it may hold."""

_FILES = TypeAdapter(Annotated[list[Annotated[str, Strict(), Field(min_length=1)]], Field(min_length=1)])


def check_kinds(config: DictConfig) -> None:
    """Raise ConfigError for the first key of `KINDS`, or of the data files, that holds something else."""
    for key, kind in KINDS.items():
        if _stated(config, key):
            _check(key, OmegaConf.select(config, key), TypeAdapter(kind), kind)
    for key in ("data.train_files", "data.val_files"):
        files = OmegaConf.select(config, key)
        listed = OmegaConf.to_container(files) if OmegaConf.is_config(files) else files
        _check(key, [listed] if isinstance(listed, str) else listed, _FILES, list)


def _check(key: str, value: Any, adapter: TypeAdapter, kind: Any) -> None:
    if OmegaConf.is_config(value):
        value = OmegaConf.to_container(value)
    try:
        adapter.validate_python(value)
    except ValidationError as error:
        raise ConfigError(described(error, kind, key)) from error


def _stated(config: DictConfig, key: str) -> bool:
    """Whether the key is there, null included. A block on the way that is none is what is wrong with it."""
    block: Any = config
    for depth, part in enumerate(parts := key.split(".")):
        if not isinstance(block, DictConfig):
            if block is None:
                return False
            raise ConfigError(f"{'.'.join(parts[:depth])}: expected a block of keys, got {block!r}")
        if part not in block:
            return False
        block = block[part]
    return True
