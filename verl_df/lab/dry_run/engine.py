# SPDX-License-Identifier: Apache-2.0
"""What a vLLM engine asks of a GPU: the arithmetic of vLLM 0.24's start.

Its worker takes a share of the card, loads the weights, runs the vision tower on the largest pictures that may come in
one step and the language model on the most tokens of a step, and leaves what is over to keys and values
(`gpu_worker.determine_available_memory`). It refuses to start if one sequence of `max_model_len` does not fit there
(`kv_cache_utils.check_enough_kv_cache_memory`).
"""

from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf

from verl_df.lab.dry_run.models import ModelSizes, VisionSizes
from verl_df.lab.dry_run.weights import engine_segments
from verl_df.settings.config import ConfigError

GIB = 2**30
PAGE = 16  # tokens of a block of keys and values
_HALF, _FULL = 2, 4
# Estimates, nothing to count them from: what a worker holds beside its tensors (CUDA context, kernels, NCCL with tensor
# parallelism), and CUDA graphs of all batch sizes.
CONTEXT, NCCL, GRAPHS = 1.0 * GIB, 0.5 * GIB, 1.0 * GIB


@dataclass(frozen=True)
class EngineSizes:
    """Numbers of a vLLM engine.

    Attributes:
        keys: where its keys are: `actor_rollout_ref.rollout`, or `df.repair.rollout`.
        tensor_parallel: GPUs of a replica.
        share: of a GPU's memory.
        longest: `max_model_len`; None: the model's context.
        wanted: tokens of the longest sequence that will be asked for.
        step_tokens, sequences: most of a forward pass.
        images, videos: most in a prompt.
        profiled: whether vLLM measures the vision tower.
        cache: bytes for keys and values, where they are set instead of measured.
        eager: without CUDA graphs.
    """

    keys: str
    tensor_parallel: int
    share: float
    longest: int | None
    wanted: int
    step_tokens: int
    sequences: int
    images: int
    videos: int
    profiled: bool
    cache: int | None
    eager: bool


def engine_sizes(rollout: DictConfig, keys: str) -> EngineSizes:
    """Read them from a rollout block."""
    vllm: Any = OmegaConf.to_container(OmegaConf.select(rollout, "engine_kwargs.vllm") or OmegaConf.create({}))
    limits = {"image": 999, "video": 999, **(vllm.get("limit_mm_per_prompt") or {})}
    step_tokens = rollout.max_num_batched_tokens
    if not rollout.enable_chunked_prefill:  # verl raises it then
        step_tokens = max(step_tokens, rollout.max_model_len or step_tokens)
    return EngineSizes(
        keys=keys,
        tensor_parallel=rollout.tensor_model_parallel_size,
        share=rollout.gpu_memory_utilization,
        longest=rollout.max_model_len,
        wanted=rollout.prompt_length + rollout.response_length,
        step_tokens=step_tokens,
        sequences=rollout.max_num_seqs,
        images=limits["image"],
        videos=limits["video"],
        profiled=not vllm.get("skip_mm_profiling", False),
        cache=vllm.get("kv_cache_memory_bytes"),
        eager=rollout.enforce_eager,
    )


@dataclass(frozen=True)
class EngineMemory:
    """What an engine asks of one GPU, in bytes.

    Attributes:
        share: of the card.
        weights: its part of them.
        pictures: peak of the vision tower on `items` pictures of `tokens` tokens each.
        activations: peak of the language model and the sampler beside the pictures' features.
        fixed: context, NCCL, CUDA graphs.
        room: what is left for keys and values.
        sequence: keys and values of one sequence of `max_model_len`.
        token: those of a token.
    """

    share: float
    weights: int
    pictures: float
    items: int
    tokens: int
    activations: float
    fixed: float
    room: float
    sequence: int
    token: int


def engine_memory(engine: EngineSizes, model: ModelSizes, card: float) -> EngineMemory:
    """Count it for a card of `card` bytes."""
    longest, parallel = engine.longest or model.context, engine.tensor_parallel
    token = 2 * model.layers * max(1, model.kv_heads // parallel) * model.head_dim * _HALF
    weights = sum(engine_segments(model, parallel))
    tokens, items = largest_pictures(engine, model.vision, longest) if engine.profiled else (0, 0)
    pictures = _tower(model.vision, tokens * items, parallel)
    # the features stay while the language model runs
    activations = tokens * items * model.vision.out * _HALF + _language_model(engine, model)
    fixed = CONTEXT + (NCCL if parallel > 1 else 0) + (0 if engine.eager else GRAPHS)
    room = engine.cache or card * engine.share - weights - max(pictures, activations) - fixed
    return EngineMemory(
        share=card * engine.share,
        weights=weights,
        pictures=pictures,
        items=items,
        tokens=tokens,
        activations=activations,
        fixed=fixed,
        room=room,
        sequence=-(-longest // PAGE) * PAGE * token,
        token=token,
    )


def largest_pictures(engine: EngineSizes, vision: VisionSizes, longest: int) -> tuple[int, int]:
    """Tokens of the largest picture, image or video, and how many of them vLLM runs through the tower to measure it.

    The budget of the tower is `max_num_batched_tokens`, or one picture if that is larger (`MultiModalBudget`).
    """
    beside = vision.beside if engine.images else 0
    video = max(1, min(vision.steps, (longest - beside) // vision.step)) * vision.step
    tokens, limit = max(
        (vision.image * bool(engine.images), engine.images), (video * bool(engine.videos), engine.videos)
    )
    if not tokens:
        return 0, 0
    of_a_prompt = max(1, min(limit, longest // tokens))
    budget = max(engine.step_tokens, tokens)
    return tokens, max(1, min(budget // tokens, engine.sequences * of_a_prompt))


def _tower(vision: VisionSizes, tokens: int, parallel: int) -> float:
    """Peak of the tower: pixels in float32, residual, normed and projected rows, the MLP's inner values, features."""
    patches = tokens * vision.patches
    row = vision.pixels * _FULL + 4 * vision.width * _HALF + max(vision.mlp, 4 * vision.width) // parallel * _HALF
    return patches * row + tokens * vision.out * _HALF


def _language_model(engine: EngineSizes, model: ModelSizes) -> float:
    """Peak of the larger of the two: a layer on the most tokens, and the sampler on the most sequences."""
    inner = max(3 * model.inner, 2 * (model.heads + 2 * model.kv_heads) * model.head_dim) // engine.tensor_parallel
    layer = engine.step_tokens * (3 * model.width + inner) * _HALF
    # logits in bfloat16 and float32, probabilities, and what sorting them takes
    sampler = engine.sequences * model.vocabulary * (_HALF + 2 * _FULL + 3 * _FULL)
    return max(layer, sampler + engine.step_tokens * model.width * _HALF)


def check_engine(engine: EngineSizes, model: ModelSizes, card: float) -> None:
    """Refuse what vLLM would refuse after minutes.

    Raises:
        ConfigError: the number, what there is, and the keys to change.
    """
    memory, longest = engine_memory(engine, model, card), engine.longest or model.context
    key = f"{engine.keys}.max_model_len={engine.longest}"
    if longest > model.context:
        raise ConfigError(f"{key}: the model's context is {model.context} tokens")
    if longest < engine.wanted:
        raise ConfigError(f"{key}: a prompt and its response can have {engine.wanted} tokens: set it to that")
    if memory.sequence > memory.room:
        step = max(memory.pictures, memory.activations)
        raise ConfigError(
            f"{key}: keys and values of one sequence of {longest:,} tokens take {memory.sequence / GIB:.1f} GiB of "
            f"each GPU, and {max(0.0, memory.room) / GIB:.1f} GiB are left of the engine's {memory.share / GIB:.1f} "
            f"GiB beside {memory.weights / GIB:.1f} GiB of weights, {step / GIB:.1f} GiB for a step ({memory.items} "
            f"pictures of {memory.tokens:,} tokens) and {memory.fixed / GIB:.1f} GiB around them: set it to "
            f"{engine.wanted} (prompt and response), or raise {engine.keys}.gpu_memory_utilization or "
            f"{engine.keys}.tensor_model_parallel_size"
        )
