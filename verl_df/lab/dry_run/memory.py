# SPDX-License-Identifier: Apache-2.0
"""How much memory a run needs, from counting bytes. Estimates: what they leave out is in docs/models.md."""

from dataclasses import dataclass

from verl_df.lab.dry_run.models import ModelSizes
from verl_df.lab.dry_run.sizes import RunSizes

GB = 1e9
_HALF, _FULL = 2, 4  # bytes of a bfloat16 and of a float32
_ADAM = 2 * _FULL


@dataclass(frozen=True)
class Memory:
    """An estimate of memory, in GB.

    Attributes:
        update: weights, gradients and optimiser states on one GPU during the update.
        update_batch: activations kept for the backward pass and the logits of a full micro-batch, on one GPU.
        resident: the part of the states that stays on a GPU during rollout.
        engine: weights of a vLLM replica on one GPU.
        responses: full-length responses whose keys and values fit beside a replica's weights.
        host: what one node's GPUs move to its memory: states, and weights of sleeping engines.
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
    weights = model.parameters * _HALF / run.tensor_parallel
    per_token = 2 * model.layers * model.kv_heads * model.head_dim * _HALF / run.tensor_parallel
    room = gpu * GB * run.memory_share - weights
    engines = run.gpus // run.nodes // run.tensor_parallel or 1
    asleep = engines * run.tensor_parallel * weights if run.repairs else 0.0
    moved = states / run.nodes if run.offload else 0.0
    return Memory(
        update=states / run.gpus / GB,
        update_batch=(checkpoints + logits) / GB,
        resident=0.0 if run.offload else states / run.gpus / GB,
        engine=weights / GB,
        responses=max(0, int(room / (per_token * (run.prompt + run.response)))),
        host=(asleep + moved) / GB,
    )
