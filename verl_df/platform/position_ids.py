# SPDX-License-Identifier: Apache-2.0
"""Multi-axis position ids of batches whose rows all have the same length: a bug that GPUs see too.

Vision-language models have one row of position ids per axis, (4, L) in verl (text, time, height, width). TransferQueue
packs a batch with `torch.nested.as_nested_tensor`, which takes the first dimension that differs as the ragged one.
Where all L are equal it takes dimension 1: the values come out as (4 B, L) instead of (4, L_1 + ... + L_B).
verl's `maybe_fix_3d_position_ids` then only relabels the ragged dimension, so that the offsets 0, 4, 8, ... are read as
lengths: "Expected cond to be True" or "size of tensor a (4) must match".
"""

import functools

import torch
import verl.utils.tensordict_utils as tensordict_utils
from tensordict import TensorDict

from verl_df.platform.patching import replace_everywhere

# Text, time, height, width; some models have no row for text.
MAX_AXES = 4


def packed_along_axes(position_ids: torch.Tensor) -> bool:
    """Whether a jagged (B, axes, L) tensor was packed along the axes, values (axes * B, L), and not along L.

    Told from shapes, since pickling loses the label of the ragged dimension. Both readings fit square values only;
    those have more than `MAX_AXES` rows if they hold the axes of several samples.
    """
    values, packed_rows = position_ids.values(), int(position_ids.offsets()[-1])
    if values.shape[0] != packed_rows:
        return False
    return values.shape[-1] != packed_rows or values.shape[0] > MAX_AXES


def repack_along_length(position_ids: torch.Tensor) -> torch.Tensor:
    """The same rows, packed along L: int64 values (axes, B * L) with B ragged rows.

    Args:
        position_ids: jagged (B, axes, L) for which `packed_along_axes` holds.
    """
    batch = position_ids.offsets().numel() - 1
    rows = list(position_ids.values().chunk(batch, dim=0))
    return tensordict_utils.nested_tensor_from_tensor_list(rows, ragged_idx=2)


@functools.cache
def apply() -> None:
    """Let `maybe_fix_3d_position_ids` repack equal-length batches first, wherever verl imported it; once per process.

    Batches of unequal lengths go through verl's own function unchanged.
    """
    original = tensordict_utils.maybe_fix_3d_position_ids

    @functools.wraps(original)
    def maybe_fix_3d_position_ids(data: TensorDict) -> None:
        positions = data.get("position_ids", None)
        if positions is not None and positions.is_nested and positions.dim() == 3 and packed_along_axes(positions):
            data["position_ids"] = repack_along_length(positions)
        original(data)

    replace_everywhere(tensordict_utils, "maybe_fix_3d_position_ids", maybe_fix_3d_position_ids)
