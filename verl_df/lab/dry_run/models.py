# SPDX-License-Identifier: Apache-2.0
"""Sizes of the models that the launch scripts name, for the arithmetic of a dry run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from verl_df.settings.config import ConfigError


@dataclass(frozen=True)
class ModelSizes:
    """Sizes of a model.

    Attributes:
        architecture: `model_type` of its config.json.
        parameters: their number, including the vision tower's.
        layers, width, heads, kv_heads, head_dim, vocabulary: of the language model.
        context: the longest sequence, in tokens.
    """

    architecture: str
    parameters: float
    layers: int
    width: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    context: int


# Read off the config.json and the safetensors index of each; the stages of InternVL3.5-8B differ in weights only.
_INTERNVL_8B = ModelSizes("internvl", 8.53e9, 36, 4096, 32, 8, 128, 151936, 40960)
KNOWN_MODELS: dict[str, ModelSizes] = {
    "Qwen/Qwen2.5-VL-3B-Instruct": ModelSizes("qwen2_5_vl", 3.75e9, 36, 2048, 16, 2, 128, 151936, 128000),
    "Qwen/Qwen2.5-VL-7B-Instruct": ModelSizes("qwen2_5_vl", 8.29e9, 28, 3584, 28, 4, 128, 152064, 128000),
    "Qwen/Qwen2.5-VL-32B-Instruct": ModelSizes("qwen2_5_vl", 33.45e9, 64, 5120, 40, 8, 128, 152064, 128000),
    "Qwen/Qwen3-VL-8B-Instruct": ModelSizes("qwen3_vl", 8.77e9, 36, 4096, 32, 8, 128, 151936, 262144),
    "OpenGVLab/InternVL3_5-8B-HF": _INTERNVL_8B,
    "OpenGVLab/InternVL3_5-8B-MPO-HF": _INTERNVL_8B,
}


def model_sizes(key: str, path: str) -> ModelSizes:
    """Sizes of a model folder, read from its config.json, or of a known hub name.

    Args:
        key: the config key that names the model, for the message.
        path: folder or hub name.

    Raises:
        ConfigError: neither.
    """
    if Path(path).is_dir():
        return _sizes_of_folder(path)
    if path not in KNOWN_MODELS:
        raise ConfigError(
            f"{key}={path}: no folder of that name here, and a dry run knows no sizes of it (it knows "
            f"{', '.join(KNOWN_MODELS)}): give the folder of the downloaded model"
        )
    return KNOWN_MODELS[path]


def _sizes_of_folder(folder: str) -> ModelSizes:
    import torch
    from transformers import AutoConfig, AutoModelForImageTextToText

    config = AutoConfig.from_pretrained(folder)
    text: Any = config.get_text_config()
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config)
    return ModelSizes(
        architecture=config.model_type,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        layers=text.num_hidden_layers,
        width=text.hidden_size,
        heads=text.num_attention_heads,
        kv_heads=text.num_key_value_heads,
        head_dim=getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads,
        vocabulary=text.vocab_size,
        context=text.max_position_embeddings,
    )
