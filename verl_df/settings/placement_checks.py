# SPDX-License-Identifier: Apache-2.0
"""Whether the place of the repair model and the rest of a run go together."""

from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from verl_df.controls.settings import NEVER_ASKS
from verl_df.io.validation import nearest
from verl_df.method.group import GroupMode
from verl_df.settings.config import ConfigError, DFConfig, RepairConfig

# Room for the words of the prompt template around question, response and reference.
TEMPLATE_TOKENS = 256
# Placements that load no repair model of the run's.
WITHOUT_MODEL = ("policy", "remote")


def asks_model(df: DFConfig) -> bool:
    """Whether a run asks a repair model at all, wherever it is."""
    return df.group.mode is not GroupMode.OFF and df.control.kind not in NEVER_ASKS


def loads_model(df: DFConfig) -> bool:
    """Whether a run loads a repair model of its own."""
    return asks_model(df) and df.repair.placement not in WITHOUT_MODEL


def repair_prompt_length(wanted: int | None, prompt: int, response: int) -> int:
    """Limit of a repair prompt, in tokens: `df.repair.max_prompt_length`, or room for the prompt and two responses."""
    return wanted or prompt + 2 * response + TEMPLATE_TOKENS


def check_placement(config: DictConfig, repair: RepairConfig) -> None:
    """Refuse settings that contradict `df.repair.placement` or would be ignored under it.

    Raises:
        ConfigError: the contradiction.
    """
    here = f"df.repair.placement={repair.placement}"
    if repair.placement != "remote" and repair.remote.base_url:
        raise ConfigError(
            f"df.repair.remote.base_url={repair.remote.base_url} would be ignored: {here}; set it to remote, or leave "
            "the URL out"
        )
    if repair.placement in WITHOUT_MODEL:
        _check_without_model(repair, here)
    else:
        _check_changes(repair.rollout, config.actor_rollout_ref.rollout)
    if repair.placement == "policy":
        _check_policy(config, repair, here)
    if repair.placement == "dedicated":
        _check_dedicated(config, repair, here)


def _check_without_model(repair: RepairConfig, here: str) -> None:
    other = "the policy repairs" if repair.placement == "policy" else "the endpoint serves its own model"
    if repair.path:
        raise ConfigError(f"{here}: {other}, and {repair.path} would be ignored: leave df.repair.model_path out")
    if repair.rollout:
        raise ConfigError(f"{here}: no engine is started for the repair model, so df.repair.rollout would be ignored")


def _check_changes(changes: Mapping[str, Any], rollout: DictConfig) -> None:
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


def _check_policy(config: DictConfig, repair: RepairConfig, here: str) -> None:
    rollout, data = config.actor_rollout_ref.rollout, config.data
    if rollout.full_determinism:
        raise ConfigError(
            f"{here}: actor_rollout_ref.rollout.full_determinism=True gives all requests of one prompt the same id, "
            "and the samples of a repair are requests of their own: set it to False"
        )
    response = data.max_response_length
    wanted = repair_prompt_length(repair.max_prompt_length, data.max_prompt_length, response) + response
    longest = rollout.max_model_len or data.max_prompt_length + response
    if longest < wanted:
        raise ConfigError(
            f"{here}: a repair prompt and its response can have {wanted} tokens, and the rollout engine takes "
            f"{longest}: set actor_rollout_ref.rollout.max_model_len={wanted}, or a smaller df.repair.max_prompt_length"
        )


def _check_dedicated(config: DictConfig, repair: RepairConfig, here: str) -> None:
    own = repair.dedicated
    sizes = ("tensor_model_parallel_size", "data_parallel_size", "pipeline_model_parallel_size")
    replica = 1
    for name in sizes:
        replica *= repair.rollout.get(name, config.actor_rollout_ref.rollout[name])
    devices = own.nnodes * own.n_gpus_per_node
    if devices % replica:
        raise ConfigError(
            f"{here}: df.repair.dedicated has {devices} GPUs, and a replica of the repair engine takes {replica} "
            f"(df.repair.rollout.{sizes[0]} and its like): make the one a multiple of the other"
        )
    told = OmegaConf.select(config, "ray_kwargs.ray_init.num_gpus")
    wanted = config.trainer.nnodes * config.trainer.n_gpus_per_node + devices
    if told is not None and told < wanted:
        raise ConfigError(
            f"{here}: the trainer's and the repair engine's GPUs are {wanted} together, and Ray is told of {told}: set "
            f"ray_kwargs.ray_init.num_gpus={wanted}"
        )
