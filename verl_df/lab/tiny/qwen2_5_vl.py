# SPDX-License-Identifier: Apache-2.0
"""A tiny Qwen2.5-VL: the toy world's. And one of 1.7 billion parameters, whose layers are those of the 3B model."""

import json
from pathlib import Path

from transformers import AutoProcessor, PreTrainedTokenizerBase, Qwen2_5_VLConfig, Qwen2_5_VLProcessor

from verl_df.lab.toy import model
from verl_df.lab.toy.settings import ModelSettings
from verl_df.lab.toy.tokenizer import save_processor

__all__ = ["build_config", "build_large_config", "save_large_processor", "save_processor"]

_LARGE = ModelSettings(
    width=2048,
    ffn=11008,
    layers=12,
    heads=16,
    kv_heads=2,
    vision_width=1280,
    vision_depth=8,
    vision_heads=16,
    init_std=0.02,
    max_positions=4096,
)
_LARGE_VOCABULARY = 151936
_LARGE_SIDE = 560  # pixels: 400 visual tokens


def build_config(tokenizer: PreTrainedTokenizerBase) -> Qwen2_5_VLConfig:
    """Configuration of the model for this tokenizer."""
    return model.build_config(tokenizer, ModelSettings(init_std=0.02))


def build_large_config(tokenizer: PreTrainedTokenizerBase) -> Qwen2_5_VLConfig:
    """The same of the large model; its vocabulary is the real one's, most of which the tokenizer does not know."""
    config = model.build_config(tokenizer, _LARGE)
    config.text_config.vocab_size = _LARGE_VOCABULARY
    config.text_config.rope_parameters["mrope_section"] = [16, 24, 24]
    return config


def save_large_processor(folder: Path, seed: int) -> Qwen2_5_VLProcessor:
    """The tiny model's, which enlarges small pictures to 560 x 560 pixels."""
    save_processor(folder, seed)
    file = folder / "processor_config.json"
    settings = json.loads(file.read_text())
    for kind in ("image_processor", "video_processor"):
        settings[kind]["size"] = {"shortest_edge": _LARGE_SIDE**2, "longest_edge": 4 * _LARGE_SIDE**2}
    file.write_text(json.dumps(settings, indent=1))
    return AutoProcessor.from_pretrained(folder)
