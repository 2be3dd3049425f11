# SPDX-License-Identifier: Apache-2.0
"""Where the tokens of a Qwen2.5-VL's video stand in time: the same in the rollout engine and in the actor.

On M-RoPE's axis of time a pair of frames stands `tokens_per_second * second_per_grid_t` after the pair before it, and
the text goes on behind the largest position of the video. The pinned versions each do something else:

- vLLM 0.24.0 drops the video's metadata before it asks for the seconds, and takes 24 frames a second for every video
  (vllm-project/vllm#47736).
- verl 0.9.1 does not ask its processor for the seconds, and takes one second for every pair.
- transformers 5.9.0 cuts the seconds to an integer (huggingface/transformers#48669), and lets the text begin behind the
  frame's height and width, amid the positions of later frames.

So the actor would score responses under other positions than those they were sampled under. Prompts without a video are
left to the libraries.
"""

import functools
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from wrapt import when_imported

MODEL_TYPE = "qwen2_5_vl"
# What Qwen's own tools sample; only vLLM's dummy videos, with which it measures memory, come without a rate.
DEFAULT_FPS = 2.0


@functools.cache
def apply() -> None:
    """Patch processor and model of transformers and the processor of vLLM when they are imported; once per process."""
    when_imported("transformers.models.qwen2_5_vl.processing_qwen2_5_vl")(_pass_seconds)
    when_imported("transformers.models.qwen2_5_vl.modeling_qwen2_5_vl")(_patch_model)
    when_imported("vllm.model_executor.models.qwen2_5_vl")(_keep_metadata)


# ---- actor -----------------------------------------------------------------------------------------------------------


def _pass_seconds(processing: ModuleType) -> None:
    """verl asks a processor that has this method for more arguments of `get_rope_index`."""

    def get_rope_index_kwargs(multi_modal_inputs: Mapping[str, Any]) -> dict[str, Any]:
        return {"second_per_grid_ts": multi_modal_inputs.get("second_per_grid_ts")}

    processing.Qwen2_5_VLProcessor.get_rope_index_kwargs = staticmethod(get_rope_index_kwargs)


def _patch_model(modeling: ModuleType) -> None:
    """verl binds this method of the model to its processor; the model calls it itself in `generate`."""
    stock = modeling.Qwen2_5_VLModel.get_rope_index

    @functools.wraps(stock)
    def get_rope_index(self: Any, input_ids: Any, mm_token_type_ids: Any, *grids: Any, **others: Any) -> Any:
        names = ("image_grid_thw", "video_grid_thw", "second_per_grid_ts", "attention_mask")
        given = dict(zip(names, grids, strict=False)) | others
        if given.get("video_grid_thw") is None:
            return stock(self, input_ids, mm_token_type_ids, **given)
        return rope_index(self.config, input_ids, mm_token_type_ids, **{name: given.get(name) for name in names})

    modeling.Qwen2_5_VLModel.get_rope_index = get_rope_index


def rope_index(
    config: Any,
    input_ids: Any,
    mm_token_type_ids: Any,
    image_grid_thw: Any,
    video_grid_thw: Any,
    second_per_grid_ts: Any,
    attention_mask: Any,
) -> tuple[Any, Any]:
    """M-RoPE positions of prompts with videos.

    Args:
        config: the model's.
        input_ids: int64 [B, L].
        mm_token_type_ids: [B, L]; 0 text, 1 image, 2 video.
        image_grid_thw, video_grid_thw: [images, 3] or None, [videos, 3]; patches in time, height, width.
        second_per_grid_ts: [videos], seconds from one pair of frames to the next; None: 1 each.
        attention_mask: [B, L] or None; positions of tokens that are masked are 0.

    Returns:
        positions, int64 [3, B, L] (time, height, width), and by how much the next one differs from the number of
        tokens, int64 [B, 1].
    """
    import torch

    vision = config.vision_config
    seconds = [1.0] * len(video_grid_thw) if second_per_grid_ts is None else [float(one) for one in second_per_grid_ts]
    images = iter([] if image_grid_thw is None else image_grid_thw.tolist())
    videos = iter(zip(video_grid_thw.tolist(), seconds, strict=True))
    positions = torch.zeros(3, *input_ids.shape, dtype=torch.int64, device=input_ids.device)
    differences = []
    for row, types in enumerate(mm_token_type_ids):
        seen = torch.ones_like(types, dtype=torch.bool) if attention_mask is None else attention_mask[row].bool()
        parts: list[Any] = []
        start = 0
        for kind, length in zip(*_runs(types[seen]), strict=True):
            if kind == 0:
                part = torch.arange(length).expand(3, -1)
            else:
                grid, second = (next(images), 0.0) if kind == 1 else next(videos)
                part = _grid(grid, vision.spatial_merge_size, vision.tokens_per_second * second)
            parts.append(part + start)
            start = int(parts[-1].max()) + 1
        positions[:, row, seen] = torch.cat(parts, dim=1).to(input_ids.device)
        differences.append(start - int(seen.sum()))
    return positions, torch.tensor(differences, device=input_ids.device).unsqueeze(1)


def _runs(types: Any) -> tuple[list[int], list[int]]:
    """Values and lengths of the runs of equal values."""
    import torch

    values, lengths = torch.unique_consecutive(types, return_counts=True)
    return values.tolist(), lengths.tolist()


def _grid(grid: list[int], merge: int, step: float) -> Any:
    """Positions of one image or video from 0, int64 [3, tokens]; `step`: in time, from one pair of frames on."""
    import torch

    time, height, width = (torch.arange(size) for size in (grid[0], grid[1] // merge, grid[2] // merge))
    time = (time.double() * step).long()  # the engine's arithmetic
    return torch.stack(torch.meshgrid(time, height, width, indexing="ij")).flatten(1)


# ---- engine ----------------------------------------------------------------------------------------------------------


def _keep_metadata(module: ModuleType) -> None:
    """Let vLLM's parser keep (frames, metadata), and its processor hand both to transformers'."""
    from vllm.model_executor.models.qwen2_vl import Qwen2VLMultiModalDataParser

    class Parser(Qwen2VLMultiModalDataParser):
        def _get_video_with_metadata(self, video: Any) -> tuple[Any, dict[str, Any]]:
            frames, metadata = super()._get_video_with_metadata(video)
            count = len(frames)
            return frames, metadata or {
                "fps": DEFAULT_FPS,
                "total_num_frames": count,
                "frames_indices": list(range(count)),
            }

    def get_data_parser(self: Any) -> Parser:
        return Parser(
            self.get_hf_config().vision_config.spatial_merge_size,
            expected_hidden_size=self._get_expected_hidden_size(),
            video_needs_metadata=True,
        )

    module.Qwen2_5_VLProcessingInfo.get_data_parser = get_data_parser
    processor = module.Qwen2_5_VLMultiModalProcessor
    stock: Callable[..., Any] = processor._call_hf_processor

    @functools.wraps(stock)
    def _call_hf_processor(self: Any, prompt: str, mm_data: Mapping[str, Any], *options: Any, **named: Any) -> Any:
        if mm_data.get("videos"):
            frames, metadata = zip(*mm_data["videos"], strict=True)
            # sampled already, by the dataset
            known = {"videos": list(frames), "video_metadata": list(metadata), "do_sample_frames": False}
            mm_data = {**mm_data, **known}
        return stock(self, prompt, mm_data, *options, **named)

    processor._call_hf_processor = _call_hf_processor
