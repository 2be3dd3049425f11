# SPDX-License-Identifier: Apache-2.0
"""Sizes of a run that must divide one another or fit into one another."""

from dataclasses import dataclass

from omegaconf import DictConfig, OmegaConf

from verl_df.lab.dry_run.models import ModelSizes
from verl_df.settings.config import ConfigError
from verl_df.settings.placement_checks import repair_prompt_length
from verl_df.settings.speculation import draft_room


@dataclass(frozen=True)
class RunSizes:
    """Numbers of a run of reinforcement learning.

    Attributes:
        nodes, gpus: of the run; GPUs are those of all nodes.
        prompts, rollouts: prompts per step, rollouts per prompt.
        mini_batch: prompts per optimiser step.
        sequence_parallel: GPUs that share a sequence in the update.
        tensor_parallel: GPUs of a vLLM replica.
        prompt, response: limits in tokens.
        update_tokens, log_prob_tokens: of a micro-batch on a GPU; None without dynamic batches.
        longest: sequence for which vLLM makes room, in tokens; None: the model's longest.
        memory_share: share of a GPU that vLLM takes.
        offload: whether the states leave the GPU during rollout.
        lora, critic: whether the run has them.
        repairs: samples for each wrong rollout, 0 without a repair model.
        colocated: whether the repair model's engine sleeps on the run's GPUs.
        repair_prompt: limit of the repair model's prompts, in tokens.
        drafts: tokens for which the repair engine makes room beside prompt and response.
    """

    nodes: int
    gpus: int
    prompts: int
    rollouts: int
    mini_batch: int
    sequence_parallel: int
    tensor_parallel: int
    prompt: int
    response: int
    update_tokens: int | None
    log_prob_tokens: int | None
    longest: int | None
    memory_share: float
    offload: bool
    lora: bool
    critic: bool
    repairs: int
    colocated: bool
    repair_prompt: int
    drafts: int


def run_sizes(config: DictConfig, critic: bool) -> RunSizes:
    """Read them from a composed config of reinforcement learning; critic: whether there is one."""
    actor, rollout = config.actor_rollout_ref.actor, config.actor_rollout_ref.rollout
    repair = OmegaConf.select(config, "df.repair")
    repairs = repair.n if repair is not None and config.df.group.mode != "off" else 0
    prompt, response = config.data.max_prompt_length, config.data.max_response_length
    dynamic = actor.use_dynamic_bsz
    return RunSizes(
        nodes=config.trainer.nnodes,
        gpus=config.trainer.nnodes * config.trainer.n_gpus_per_node,
        prompts=config.data.train_batch_size,
        rollouts=rollout.n,
        mini_batch=actor.ppo_mini_batch_size,
        sequence_parallel=actor.ulysses_sequence_parallel_size,
        tensor_parallel=rollout.tensor_model_parallel_size,
        prompt=prompt,
        response=response,
        update_tokens=actor.ppo_max_token_len_per_gpu if dynamic else None,
        log_prob_tokens=rollout.log_prob_max_token_len_per_gpu if rollout.log_prob_use_dynamic_bsz else None,
        longest=rollout.max_model_len,
        memory_share=rollout.gpu_memory_utilization,
        offload=actor.fsdp_config.param_offload and actor.fsdp_config.optimizer_offload,
        lora=config.actor_rollout_ref.model.lora_rank > 0,
        critic=critic,
        repairs=repairs,
        colocated=bool(repairs) and repair.placement == "colocated",
        repair_prompt=repair_prompt_length(repair.max_prompt_length, prompt, response) if repairs else 0,
        drafts=draft_room(response) if repairs and repair.speculation != "off" else 0,
    )


def check_sizes(run: RunSizes, model: ModelSizes) -> None:
    """Compare them.

    Raises:
        ConfigError: the first two that do not go together, with their keys.
    """
    _divides("data.train_batch_size", run.prompts, "actor_rollout_ref.actor.ppo_mini_batch_size", run.mini_batch)
    _divides("the GPUs (trainer.nnodes x trainer.n_gpus_per_node)", run.gpus, _TP, run.tensor_parallel)
    _divides("the GPUs (trainer.nnodes x trainer.n_gpus_per_node)", run.gpus, _SP, run.sequence_parallel)
    _divides("the model's attention heads", model.heads, _TP, run.tensor_parallel)
    _divides("the model's attention heads", model.heads, _SP, run.sequence_parallel)
    ranks = run.gpus // run.sequence_parallel
    _divides(
        "rollouts of a mini-batch (ppo_mini_batch_size x rollout.n)", run.mini_batch * run.rollouts, "ranks", ranks
    )
    longest = run.prompt + run.response
    for key, tokens in (
        ("actor_rollout_ref.actor.ppo_max_token_len_per_gpu", run.update_tokens),
        ("actor_rollout_ref.rollout.log_prob_max_token_len_per_gpu", run.log_prob_tokens),
    ):
        if tokens is not None and tokens * run.sequence_parallel < longest:
            raise ConfigError(
                f"{key}={tokens}: a sequence of data.max_prompt_length + data.max_response_length = {longest} tokens "
                f"does not fit into a micro-batch: at least {-(-longest // run.sequence_parallel)}"
            )
    repair = run.repair_prompt + run.response + run.drafts
    for what, tokens in (("a prompt and its response", longest), ("a repair with its drafts", repair)):
        if tokens > model.context:
            raise ConfigError(
                f"{what} can have {tokens} tokens, and the model reads {model.context}: shorten the limits"
            )


_TP = "actor_rollout_ref.rollout.tensor_model_parallel_size"
_SP = "actor_rollout_ref.actor.ulysses_sequence_parallel_size"


def _divides(what: str, number: int, by: str, divisor: int) -> None:
    if number % divisor:
        raise ConfigError(f"{what} = {number} is not a multiple of {by} = {divisor}")
