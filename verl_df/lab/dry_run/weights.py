# SPDX-License-Identifier: Apache-2.0
"""A model's weights as blocks of memory: in vLLM, in FSDP, and pinned on the host."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator

from verl_df.lab.dry_run.models import ModelSizes, values

MIB = 2**20
_HALF, _FULL = 2, 4  # bytes of a bfloat16 and of a float32
# What vLLM lays side by side in one matrix.
_MERGED = {"q_proj": "qkv", "k_proj": "qkv", "v_proj": "qkv", "gate_proj": "gate_up", "up_proj": "gate_up"}
_KEYS_VALUES = ("k_proj.weight", "v_proj.weight")
# torch's allocator: tensors up to 1 MiB share segments of 2 MiB, up to 10 MiB of 20, larger ones have their own.
_SMALL, _MIDDLE = (1 * MIB, 2 * MIB), (10 * MIB, 20 * MIB)


def engine_segments(model: ModelSizes, tensor_parallel: int) -> list[int]:
    """Sizes, in bytes, of the segments in which a vLLM worker holds its part of the weights in bfloat16.

    vLLM loads with `max_split_size_mb=20`, so that a large weight does not share its segment, and its sleep copies
    segment by segment. Matrices are cut, vectors are not; keys and values are repeated where there are fewer heads
    than GPUs.
    """
    merged: Counter[str] = Counter()
    for name, shape in model.weights.items():
        parts = name.split(".")
        parts[-2] = _MERGED.get(parts[-2], parts[-2]) if "language_model" in parts else parts[-2]
        cut = tensor_parallel if len(shape) > 1 else 1
        if name.endswith(_KEYS_VALUES) and "language_model" in parts:
            cut = min(cut, model.kv_heads)
        merged[".".join(parts)] += values(shape) * _HALF // cut
    return list(_segments(merged.values()))


def _segments(tensors: Iterable[int]) -> Iterator[int]:
    shared = {_SMALL: 0, _MIDDLE: 0}
    for size in tensors:
        limit = next((limits for limits in shared if size <= limits[0]), None)
        if limit is None:
            yield -(-size // (2 * MIB)) * 2 * MIB
        else:
            shared[limit] += size
    for (_, segment), total in shared.items():
        yield from [segment] * -(-total // segment)


def state_shards(model: ModelSizes, gpus: int) -> list[int]:
    """Sizes, in bytes, of one GPU's part of each parameter in float32: FSDP2 cuts along the first dimension."""
    return [-(-shape[0] // gpus) * values(shape[1:]) * _FULL for shape in model.weights.values()]


def pinned(blocks: Iterable[int]) -> int:
    """Bytes of pinned memory for these: torch's caching host allocator rounds each up to a power of two."""
    return sum(1 << (size - 1).bit_length() for size in blocks if size)


def fsdp_units(model: ModelSizes) -> tuple[int, int]:
    """Parameters of the largest unit that FSDP2 gathers by itself in verl, and of the root, which it keeps.

    Each layer is a unit, and embedding and output matrix are where they are not tied.
    """
    units: Counter[str] = Counter()
    for name, shape in model.weights.items():
        layer = re.match(r"(.*?\.\d+)\.", name)
        alone = not model.tied and ("embed_tokens" in name or name.startswith("lm_head"))
        units[layer[1] if layer else name if alone else ""] += values(shape)
    root = units.pop("", 0)
    return max(units.values(), default=0), root
