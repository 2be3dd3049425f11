# SPDX-License-Identifier: Apache-2.0
"""How much memory a run needs, from counting bytes. Estimates: what they leave out is in docs/models.md."""

from dataclasses import dataclass

from verl_df.lab.dry_run.models import ModelSizes
from verl_df.lab.dry_run.sizes import RunSizes
from verl_df.settings.config import ConfigError

GB = 1e9
_HALF, _FULL = 2, 4  # bytes of a bfloat16 and of a float32
_ADAM = 2 * _FULL
# What leaves a GPU lies in pinned memory, whose blocks torch rounds up to powers of two, one weight to a block: of
# Qwen2.5-VL-7B's weights 1.85 times as much (counted from their shapes, not measured).
_PINNED = 1.85


@dataclass(frozen=True)
class Memory:
    """An estimate of memory, in GB.

    Attributes:
        update: weights, gradients and optimiser states on one GPU during the update.
        update_batch: activations kept for the backward pass and the logits of a full micro-batch, on one GPU.
        resident: the part of the states that stays on a GPU during rollout.
        engine: weights of a vLLM replica on one GPU.
        responses: full-length responses whose keys and values fit beside a replica's weights.
        host: what one node's GPUs move to its pinned memory: states, and weights of sleeping engines.
    """

    update: float
    update_batch: float
    resident: float
    engine: float
    responses: int
    host: float


def state_bytes(model: ModelSizes, lora: bool) -> float:
    """Weights, gradients and Adam's moments of a trained model, in bytes over all GPUs; of adapters: the weights."""
    return model.parameters * (_FULL if lora else 2 * _FULL + _ADAM)


def estimate(run: RunSizes, model: ModelSizes, gpu: float) -> Memory:
    """Estimate for GPUs of `gpu` GB.

    FSDP2 in verl holds weights, gradients and Adam's two moments in float32, sharded over all GPUs, and computes in
    bfloat16. With LoRA only the adapters have gradients and moments, which are left out. A critic doubles the states.
    """
    states = state_bytes(model, run.lora) * (2 if run.critic else 1)
    tokens = run.update_tokens or run.prompt + run.response
    checkpoints = tokens * model.layers * model.width * _HALF
    logits = tokens * model.vocabulary * (_HALF + _FULL)
    weights = _engine_weights(run, model)
    # an engine whose adapter alone is sent keeps its base weights while it sleeps, as the repair engine does
    sleeping = run.colocated + run.lora
    engines = run.gpus // run.nodes // run.tensor_parallel or 1
    asleep = sleeping * engines * run.tensor_parallel * weights
    moved = states / run.nodes if run.offload else 0.0
    return Memory(
        update=states / run.gpus / GB,
        update_batch=(checkpoints + logits) / GB,
        resident=0.0 if run.offload else states / run.gpus / GB,
        engine=weights / GB,
        responses=max(0, int(_room(run, model, gpu) / (_cache_bytes(run, model) * (run.prompt + run.response)))),
        host=_PINNED * (asleep + moved) / GB,
    )


def check_memory(run: RunSizes, model: ModelSizes, gpu: float) -> None:
    """Refuse what vLLM would refuse after minutes: keys and values of one sequence of the longest length must fit.

    Raises:
        ConfigError: the length, what it takes, what there is, and the keys to change.
    """
    longest = run.longest or model.context
    wanted, room = _cache_bytes(run, model) * longest, _room(run, model, gpu)
    if wanted > room:
        raise ConfigError(
            f"actor_rollout_ref.rollout.max_model_len={run.longest}: keys and values of one sequence of {longest:,} "
            f"tokens take {wanted / GB:.1f} GB of each GPU, and {max(0.0, room) / GB:.1f} GB are left beside the "
            f"weights: set it to data.max_prompt_length + data.max_response_length = {run.prompt + run.response}, or "
            "raise rollout.gpu_memory_utilization or rollout.tensor_model_parallel_size"
        )


def _engine_weights(run: RunSizes, model: ModelSizes) -> float:
    return model.parameters * _HALF / run.tensor_parallel


def _cache_bytes(run: RunSizes, model: ModelSizes) -> float:
    """Of a token's keys and values on one GPU."""
    return 2 * model.layers * model.kv_heads * model.head_dim * _HALF / run.tensor_parallel


def _room(run: RunSizes, model: ModelSizes, gpu: float) -> float:
    """Bytes of a GPU for keys and values, before activations."""
    return gpu * GB * run.memory_share - _engine_weights(run, model)
