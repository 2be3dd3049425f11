# SPDX-License-Identifier: Apache-2.0
"""What verl's FSDP2 engine asks of a GPU: states, activations and logits of a full micro-batch, gathered weights.

FSDP2 in verl holds weights, gradients and Adam's two moments in float32, sharded over all GPUs, and computes in
bfloat16 with a checkpoint at each layer.
"""

from dataclasses import dataclass

from verl_df.lab.dry_run.models import ModelSizes
from verl_df.lab.dry_run.weights import fsdp_units, state_shards

_HALF, _FULL = 2, 4  # bytes of a bfloat16 and of a float32
_ADAM = 2 * _FULL


@dataclass(frozen=True)
class PassSizes:
    """Numbers of a pass of the trained model over a full micro-batch.

    Attributes:
        key: that limits it, for the message.
        tokens: of the micro-batch, on one GPU.
        scaled: whether logits are divided by a temperature, which copies them.
        fused: whether fused kernels spare the logits.
        entropy: copies of the logits that the entropy makes: 0 compiled or none, 2 without, the part of a chunk.
    """

    key: str
    tokens: int
    scaled: bool
    fused: bool
    entropy: float


@dataclass(frozen=True)
class PassMemory:
    """What a pass asks of one GPU, in bytes.

    Attributes:
        states: sharded weights, and gradients and moments where it trains.
        checkpoints: rows kept between layers, of language model and vision tower.
        logits: copies of them.
        inside: a layer's own values.
        gathered: weights of the layers at work and of the root, and the gradients of one.
    """

    states: float
    checkpoints: float
    logits: float
    inside: float
    gathered: float

    @property
    def total(self) -> float:
        return self.states + self.checkpoints + self.logits + self.inside + self.gathered


def update_memory(
    one: PassSizes, model: ModelSizes, gpus: int, adapters: int | None, picture_share: float
) -> PassMemory:
    """Of an optimiser step. adapters: LoRA's parameters, None without. picture_share: of the tokens, at most."""
    trained = model.parameters if adapters is None else adapters
    frozen = 0 if adapters is None else model.parameters
    unit, root = fsdp_units(model)
    vision = model.vision
    patches = one.tokens * picture_share * vision.patches
    row = 8 * model.width + 2 * (model.heads + 2 * model.kv_heads) * model.head_dim + 5 * model.inner
    copies = 0 if one.fused else 2 + one.scaled + one.entropy
    return PassMemory(
        states=(trained * (2 * _FULL + _ADAM) + frozen * _FULL) / gpus,
        checkpoints=(one.tokens * model.layers * model.width + patches * vision.layers * vision.width) * _HALF,
        logits=copies * one.tokens * model.vocabulary * _HALF,
        inside=max(one.tokens * row, patches * (8 * vision.width + 2 * vision.mlp)) * _HALF,
        # a frozen unit has no gradient to reduce
        gathered=(root + 2 * unit) * _HALF + (max(unit, root) * (_HALF + _FULL) if adapters is None else 0),
    )


def log_prob_memory(one: PassSizes, model: ModelSizes, gpus: int, picture_share: float) -> PassMemory:
    """Of log-probabilities: a forward pass, nothing is kept for a backward one."""
    unit, root = fsdp_units(model)
    patches = one.tokens * picture_share * model.vision.patches
    row = 3 * model.width + max(3 * model.inner, 2 * (model.heads + 2 * model.kv_heads) * model.head_dim)
    copies = 0 if one.fused else 1 + one.scaled + one.entropy
    return PassMemory(
        states=sum(state_shards(model, gpus)),
        checkpoints=0.0,
        logits=copies * one.tokens * model.vocabulary * _HALF,
        inside=max(one.tokens * row, patches * (4 * model.vision.width + model.vision.mlp)) * _HALF,
        gathered=(root + 2 * unit) * _HALF,
    )


def lora_parameters(model: ModelSizes, rank: int) -> int:
    """Of adapters on every linear layer of the language model."""
    matrices = (
        shape
        for name, shape in model.weights.items()
        if "language_model.layers" in name and name.endswith(".weight") and len(shape) == 2
    )
    return sum(rank * sum(shape) for shape in matrices)


def offloaded(model: ModelSizes, gpus: int, adapters: int | None) -> list[int]:
    """Blocks, in bytes, of what one GPU moves to the host between updates: weights and moments; gradients are freed."""
    shards = state_shards(model, gpus)
    return shards * 3 if adapters is None else [*shards, _ADAM * adapters // gpus]
