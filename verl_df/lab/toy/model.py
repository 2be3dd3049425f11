# SPDX-License-Identifier: Apache-2.0
"""A tiny Qwen2.5-VL with random weights."""

from pathlib import Path

import torch
from transformers import PreTrainedTokenizerBase, Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from verl_df.lab.toy.settings import ModelSettings
from verl_df.lab.toy.tokenizer import save_processor


def build_config(tokenizer: PreTrainedTokenizerBase, settings: ModelSettings) -> Qwen2_5_VLConfig:
    """Configuration whose vocabulary is exactly the tokenizer's.

    verl masks ids beyond the tokenizer in vLLM only, so a padded vocabulary would shift the rollout's
    log-probabilities against the trainer's.
    """
    end, pad = tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"])
    ends = {"bos_token_id": pad, "eos_token_id": end, "pad_token_id": pad, "tie_word_embeddings": False}
    vision_tokens = {
        "image_token_id": "<|image_pad|>",
        "video_token_id": "<|video_pad|>",
        "vision_start_token_id": "<|vision_start|>",
        "vision_end_token_id": "<|vision_end|>",
        "vision_token_id": "<|vision_pad|>",
    }
    return Qwen2_5_VLConfig(
        text_config={**_text_sizes(settings), "vocab_size": len(tokenizer), **ends},
        vision_config=_vision_sizes(settings),
        initializer_range=settings.init_std,
        **{name: tokenizer.convert_tokens_to_ids(token) for name, token in vision_tokens.items()},
        **ends,
    )


def _text_sizes(settings: ModelSettings) -> dict:
    return {
        "hidden_size": settings.width,
        "intermediate_size": settings.ffn,
        "num_hidden_layers": settings.layers,
        "num_attention_heads": settings.heads,
        "num_key_value_heads": settings.kv_heads,
        "max_position_embeddings": settings.max_positions,
        "rope_parameters": {"rope_type": "default", "mrope_section": [4, 6, 6], "rope_theta": settings.rope_theta},
        "initializer_range": settings.init_std,
        "use_sliding_window": False,
    }


def _vision_sizes(settings: ModelSettings) -> dict:
    return {
        "depth": settings.vision_depth,
        "hidden_size": settings.vision_width,
        "intermediate_size": 2 * settings.vision_width,
        "num_heads": settings.vision_heads,
        "out_hidden_size": settings.width,
        "fullatt_block_indexes": list(range(settings.vision_depth)),
        "in_channels": 3,
        "in_chans": 3,
        "patch_size": 14,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "tokens_per_second": 2,
        "window_size": 112,
        "hidden_act": "silu",
        "initializer_range": settings.init_std,
    }


def build_model(
    tokenizer: PreTrainedTokenizerBase, settings: ModelSettings, seed: int
) -> Qwen2_5_VLForConditionalGeneration:
    """Float32 model with random weights that depend on `seed` alone (the global random state is left untouched)."""
    config = build_config(tokenizer, settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen2_5_VLForConditionalGeneration(config).float()
    model.generation_config.eos_token_id = [config.text_config.eos_token_id, config.text_config.pad_token_id]
    model.generation_config.pad_token_id = config.text_config.pad_token_id
    return model


def save_model(folder: Path, settings: ModelSettings, seed: int, kind: str = "count") -> int:
    """Write a complete Hugging Face folder (model and processor). Returns the number of parameters."""
    processor = save_processor(folder, seed, kind)
    model = build_model(processor.tokenizer, settings, seed)
    model.save_pretrained(folder)
    return sum(parameter.numel() for parameter in model.parameters())
