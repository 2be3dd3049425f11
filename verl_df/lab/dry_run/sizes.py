# SPDX-License-Identifier: Apache-2.0
"""Sizes of a run that must divide one another or fit into one another."""

from dataclasses import dataclass, replace
from typing import Any

from omegaconf import DictConfig, OmegaConf

from verl_df.lab.dry_run.engine import EngineSizes, engine_sizes
from verl_df.lab.dry_run.models import ModelSizes
from verl_df.lab.dry_run.update import PassSizes
from verl_df.settings.config import ConfigError, load_df_config
from verl_df.settings.placement_checks import asks_model
from verl_df.settings.speculation import draft_room


@dataclass(frozen=True)
class RunSizes:
    """Numbers of a run of reinforcement learning.

    Attributes:
        nodes, gpus: of the run; GPUs are those of all nodes.
        prompts, rollouts: prompts per step, rollouts per prompt.
        mini_batch: prompts per optimiser step.
        sequence_parallel: GPUs that share a sequence in the update.
        prompt, response: limits in tokens.
        update, log_prob: the two passes over a micro-batch.
        dynamic: whether micro-batches are cut by tokens.
        policy, repair: the engines; repair is None unless its engine is on the same GPUs.
        offload, critic_offload: whether the states leave the GPU when they are not at work.
        lora: rank of the adapters, 0 without.
        critic: whether there is one.
        repairs: samples for each wrong rollout, 0 without a repair model.
        workers: processes for pictures and rewards.
    """

    nodes: int
    gpus: int
    prompts: int
    rollouts: int
    mini_batch: int
    sequence_parallel: int
    prompt: int
    response: int
    update: PassSizes
    log_prob: PassSizes
    dynamic: bool
    policy: EngineSizes
    repair: EngineSizes | None
    offload: bool
    critic_offload: bool
    lora: int
    critic: bool
    repairs: int
    workers: int


POLICY, REPAIR = "actor_rollout_ref.rollout", "df.repair.rollout"


def run_sizes(config: DictConfig, critic: bool) -> RunSizes:
    """Read them from a composed config of reinforcement learning; critic: whether there is one."""
    actor, rollout = config.actor_rollout_ref.actor, config.actor_rollout_ref.rollout
    update, log_prob = _passes(config)
    with_repairs = OmegaConf.select(config, "df.repair") is not None and asks_model(load_df_config(config.df))
    return RunSizes(
        nodes=config.trainer.nnodes,
        gpus=config.trainer.nnodes * config.trainer.n_gpus_per_node,
        prompts=config.data.train_batch_size,
        rollouts=rollout.n,
        mini_batch=actor.ppo_mini_batch_size,
        sequence_parallel=actor.ulysses_sequence_parallel_size,
        prompt=config.data.max_prompt_length,
        response=config.data.max_response_length,
        update=update,
        log_prob=log_prob,
        dynamic=actor.use_dynamic_bsz,
        policy=engine_sizes(rollout, POLICY),
        repair=_repair_engine(config) if with_repairs and config.df.repair.placement == "colocated" else None,
        offload=_leaves(actor.fsdp_config),
        critic_offload=critic and _leaves(config.critic.fsdp),
        lora=config.actor_rollout_ref.model.lora_rank,
        critic=critic,
        repairs=config.df.repair.n if with_repairs else 0,
        workers=rollout.agent.num_workers + config.reward.num_workers,
    )


def _leaves(fsdp: DictConfig) -> bool:
    return fsdp.param_offload and fsdp.optimizer_offload


def _repair_engine(config: DictConfig) -> EngineSizes:
    from verl_df.adapters.policy_training.repair_server import repair_run_config  # imports verl's rollout: seconds

    repair = load_df_config(config.df).repair
    sizes = engine_sizes(repair_run_config(config, repair).actor_rollout_ref.rollout, REPAIR)
    drafts = draft_room(config.data.max_response_length) if repair.speculation != "off" else 0
    return replace(sizes, wanted=sizes.wanted + drafts)


def _passes(config: DictConfig) -> tuple[PassSizes, PassSizes]:
    """Of the update, and of the old log-probabilities, with which verl always takes the entropy."""
    actor, rollout = config.actor_rollout_ref.actor, config.actor_rollout_ref.rollout
    longest = config.data.max_prompt_length + config.data.max_response_length
    common: dict[str, Any] = {
        "scaled": rollout.temperature != 1.0,
        "fused": config.actor_rollout_ref.model.use_fused_kernels,
    }
    in_update = actor.calculate_entropy or actor.entropy_coeff != 0
    trained, read = "actor_rollout_ref.actor.ppo_max_token_len_per_gpu", f"{POLICY}.log_prob_max_token_len_per_gpu"
    tokens, read_tokens = actor.ppo_max_token_len_per_gpu, rollout.log_prob_max_token_len_per_gpu
    if not actor.use_dynamic_bsz:
        trained = "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu"
        tokens = longest * (actor.ppo_micro_batch_size_per_gpu or 1)
    if not rollout.log_prob_use_dynamic_bsz:
        read = f"{POLICY}.log_prob_micro_batch_size_per_gpu"
        read_tokens = longest * (rollout.log_prob_micro_batch_size_per_gpu or 1)
    entropy = _entropy_copies(actor.fsdp_config)
    return (
        PassSizes(trained, tokens, entropy=entropy(tokens) if in_update else 0, **common),
        PassSizes(read, read_tokens, entropy=entropy(read_tokens), **common),
    )


def sft_pass(config: DictConfig) -> PassSizes:
    """The update of supervised training."""
    return PassSizes("data.max_token_len_per_gpu", config.data.max_token_len_per_gpu, False, False, entropy=0)


def _entropy_copies(fsdp: DictConfig) -> Any:
    """Copies of the logits, in bfloat16, that verl's entropy makes: in float32 of a chunk at a time, or of all."""
    if fsdp.entropy_from_logits_with_chunking:
        return lambda tokens: 6 * min(1.0, fsdp.entropy_from_logits_chunk_size / tokens)
    return lambda tokens: 0 if fsdp.use_torch_compile else 2


def check_sizes(run: RunSizes, model: ModelSizes) -> None:
    """Compare them.

    Raises:
        ConfigError: the first two that do not go together, with their keys.
    """
    _divides("data.train_batch_size", run.prompts, "actor_rollout_ref.actor.ppo_mini_batch_size", run.mini_batch)
    for engine in (run.policy, run.repair) if run.repair else (run.policy,):
        parallel = f"{engine.keys}.tensor_model_parallel_size"
        _divides(_GPUS, run.gpus, parallel, engine.tensor_parallel)
        _divides("the model's attention heads", model.heads, parallel, engine.tensor_parallel)
        _divides("the vision tower's attention heads", model.vision.heads, parallel, engine.tensor_parallel)
    _divides(_GPUS, run.gpus, _SP, run.sequence_parallel)
    _divides("the model's attention heads", model.heads, _SP, run.sequence_parallel)
    ranks = run.gpus // run.sequence_parallel
    _divides(
        "rollouts of a mini-batch (ppo_mini_batch_size x rollout.n)", run.mini_batch * run.rollouts, "ranks", ranks
    )
    longest = run.prompt + run.response
    for one in (run.update, run.log_prob):
        if one.tokens * run.sequence_parallel < longest:
            raise ConfigError(
                f"{one.key}={one.tokens}: a sequence of data.max_prompt_length + data.max_response_length = {longest} "
                f"tokens does not fit into a micro-batch: at least {-(-longest // run.sequence_parallel)}"
            )
    for what, tokens in (
        ("a prompt and its response", longest),
        ("a repair with its drafts", run.repair.wanted if run.repair else 0),
    ):
        if tokens > model.context:
            raise ConfigError(
                f"{what} can have {tokens} tokens, and the model reads {model.context}: shorten the limits"
            )


_GPUS = "the GPUs (trainer.nnodes x trainer.n_gpus_per_node)"
_SP = "actor_rollout_ref.actor.ulysses_sequence_parallel_size"


def _divides(what: str, number: int, by: str, divisor: int) -> None:
    if number % divisor:
        raise ConfigError(f"{what} = {number} is not a multiple of {by} = {divisor}")
