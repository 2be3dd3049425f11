# SPDX-License-Identifier: Apache-2.0
"""A tiny Qwen3-VL: two layers, deep-stacked vision features, interleaved M-RoPE."""

from pathlib import Path

from transformers import (
    PreTrainedTokenizerBase,
    Qwen2VLImageProcessor,
    Qwen3VLConfig,
    Qwen3VLProcessor,
    Qwen3VLVideoProcessor,
)

from verl_df.lab.tiny.text_model import WIDTH, text_sizes
from verl_df.lab.tiny.tokenizer import save_tokenizer
from verl_df.lab.toy.tokenizer import CHAT_TEMPLATE

PATCH, MERGE = 16, 2
_SIDE = PATCH * MERGE  # pixels of one visual token
VISION_WIDTH = 64


def build_config(tokenizer: PreTrainedTokenizerBase) -> Qwen3VLConfig:
    """Configuration of the model for this tokenizer."""
    tokens = {
        "image_token_id": "<|image_pad|>",
        "video_token_id": "<|video_pad|>",
        "vision_start_token_id": "<|vision_start|>",
        "vision_end_token_id": "<|vision_end|>",
    }
    text = {
        **text_sizes(tokenizer),
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 10000.0,
            "mrope_section": [6, 5, 5],
            "mrope_interleaved": True,
        },
    }
    vision = {
        "depth": 2,
        "hidden_size": VISION_WIDTH,
        "intermediate_size": 2 * VISION_WIDTH,
        "num_heads": 2,
        "patch_size": PATCH,
        "spatial_merge_size": MERGE,
        "temporal_patch_size": 2,
        "out_hidden_size": WIDTH,
        "num_position_embeddings": 64,
        "deepstack_visual_indexes": [0],
    }
    return Qwen3VLConfig(
        text_config=text,
        vision_config=vision,
        **{name: tokenizer.convert_tokens_to_ids(token) for name, token in tokens.items()},
    )


def save_processor(folder: Path, seed: int) -> Qwen3VLProcessor:
    """Save tokenizer and processor. Images have 1 to 9 visual tokens."""
    tokenizer = save_tokenizer(folder, seed, (), CHAT_TEMPLATE)
    pixels = {"shortest_edge": _SIDE**2, "longest_edge": (3 * _SIDE) ** 2}
    patches = {"patch_size": PATCH, "temporal_patch_size": 2, "merge_size": MERGE}
    processor = Qwen3VLProcessor(
        image_processor=Qwen2VLImageProcessor(size=pixels, **patches),
        tokenizer=tokenizer,
        video_processor=Qwen3VLVideoProcessor(size=pixels, **patches),
        chat_template=CHAT_TEMPLATE,
    )
    processor.save_pretrained(folder)
    return processor
