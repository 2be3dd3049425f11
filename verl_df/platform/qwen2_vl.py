# SPDX-License-Identifier: Apache-2.0
"""Qwen2-VL and Qwen2.5-VL in verl: rows without a picture, such as those with which verl fills a batch up.

Where a micro-batch has no other rows, verl 0.9.1 runs a dummy picture through the vision tower, so that FSDP's ranks
stay together, and takes the mean of what the tower returns. Since transformers 5 that is no tensor, and the run ends in
`'BaseModelOutputWithPooling' object has no attribute 'mean'`. Its Qwen3-VL has it right.
"""

import functools
from types import ModuleType
from typing import Any

from wrapt import when_imported

from verl_df.platform.patching import replace_everywhere

_SIDE = 4  # patches: verl's dummy picture has as many


def apply() -> None:
    """Patch verl's module when it is imported."""
    when_imported("verl.models.transformers.qwen2_vl")(_patch)


def _patch(qwen2_vl: ModuleType) -> None:
    import torch

    stock = qwen2_vl._get_input_embeds

    @functools.wraps(stock)
    def _get_input_embeds(
        model: Any,
        input_ids: Any,
        attention_mask: Any = None,
        pixel_values: Any = None,
        pixel_values_videos: Any = None,
        *grids: Any,
        **named_grids: Any,
    ) -> Any:
        if pixel_values is not None or pixel_values_videos is not None:
            return stock(model, input_ids, attention_mask, pixel_values, pixel_values_videos, *grids, **named_grids)
        embeddings = model.get_input_embeddings()(input_ids)
        vision = model.config.vision_config
        size = vision.in_channels * vision.temporal_patch_size * vision.patch_size**2
        picture = torch.zeros((_SIDE**2, size), dtype=embeddings.dtype, device=embeddings.device)
        grid = torch.tensor([[1, _SIDE, _SIDE]], device=embeddings.device)
        features, _ = qwen2_vl.unpack_visual_output(model.visual(picture, grid_thw=grid))
        mask = None if attention_mask is None else attention_mask.to(embeddings.device)
        return embeddings + 0.0 * features.mean(), mask

    replace_everywhere(qwen2_vl, "_get_input_embeds", _get_input_embeds)
