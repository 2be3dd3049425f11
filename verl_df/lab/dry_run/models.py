# SPDX-License-Identifier: Apache-2.0
"""Sizes of models for the arithmetic of a dry run, from their configurations: transformers builds the model without its
weights.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from verl_df.lab.dry_run.published import KNOWN_MODELS, Pictures
from verl_df.settings.config import ConfigError


@dataclass(frozen=True)
class VisionSizes:
    """Sizes of a vision tower, and of the largest pictures that its processor lets through.

    Attributes:
        layers, width, heads: of the tower.
        mlp: values that its MLP makes of a patch: gate, projection and product, or projection and activation.
        out: values that it hands the language model for a token.
        patches: of a token.
        pixels: numbers that describe a patch.
        image: tokens of the largest image.
        step: tokens of the largest video's step in time (two frames of Qwen, one of InternVL).
        steps: most of them in the video with which vLLM measures its memory.
        beside: tokens of an image that such a video leaves room for.
    """

    layers: int
    width: int
    heads: int
    mlp: int
    out: int
    patches: float
    pixels: int
    image: int
    step: int
    steps: int
    beside: int


@dataclass(frozen=True)
class ModelSizes:
    """Sizes of a model.

    Attributes:
        architecture: `model_type` of its config.json.
        weights: name and shape of each parameter, those of the vision tower too.
        tied: whether the output matrix is the embedding's.
        layers, width, inner, heads, kv_heads, head_dim, vocabulary: of the language model; inner: its MLP's.
        context: the longest sequence, in tokens.
        vision: its tower.
    """

    architecture: str
    weights: Mapping[str, tuple[int, ...]]
    tied: bool
    layers: int
    width: int
    inner: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    context: int
    vision: VisionSizes

    @property
    def parameters(self) -> int:
        return sum(map(values, self.weights.values()))


def values(shape: tuple[int, ...]) -> int:
    """Numbers in a tensor."""
    product = 1
    for side in shape:
        product *= side
    return product


def model_sizes(key: str, path: str) -> ModelSizes:
    """Sizes of a model folder, read from its config.json and its processor, or of a known hub name.

    Args:
        key: the config key that names the model, for the message.
        path: folder or hub name.

    Raises:
        ConfigError: neither.
    """
    from transformers import AutoConfig

    if Path(path).is_dir():
        return _sizes(AutoConfig.from_pretrained(path), _pictures_of(path))
    if path not in KNOWN_MODELS:
        raise ConfigError(
            f"{key}={path}: no folder of that name here, and a dry run knows no sizes of it (it knows "
            f"{', '.join(KNOWN_MODELS)}): give the folder of the downloaded model"
        )
    numbers, pictures = KNOWN_MODELS[path]
    return _sizes(AutoConfig.for_model(**numbers), pictures)


def _pictures_of(folder: str) -> Pictures:
    from transformers import AutoProcessor

    processor = AutoProcessor.from_pretrained(folder)
    image = processor.image_processor
    if "InternVL" in type(processor).__name__:
        return Pictures(tiles=image.max_patches + (image.crop_to_patches and image.max_patches > 1))
    return Pictures(image.size["longest_edge"], processor.video_processor.size["longest_edge"])


def _sizes(config: Any, pictures: Pictures) -> ModelSizes:
    import torch
    from transformers import AutoModelForImageTextToText

    text: Any = config.get_text_config()
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config)
    internvl = config.model_type == "internvl"
    return ModelSizes(
        architecture=config.model_type,
        weights={name: tuple(parameter.shape) for name, parameter in model.named_parameters()},
        tied=config.tie_word_embeddings,
        layers=text.num_hidden_layers,
        width=text.hidden_size,
        inner=text.intermediate_size,
        heads=text.num_attention_heads,
        kv_heads=text.num_key_value_heads,
        head_dim=getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads,
        vocabulary=text.vocab_size,
        context=text.max_position_embeddings,
        vision=_internvl_vision(config, text, pictures) if internvl else _qwen_vision(config, text, pictures),
    )


def _qwen_vision(config: Any, text: Any, pictures: Pictures) -> VisionSizes:
    """Largest pictures as in vLLM's Qwen2VLProcessingInfo (videos of up to 14 frames) and Qwen3VLProcessingInfo (2)."""
    vision, third = config.vision_config, config.model_type == "qwen3_vl"
    side, merged = vision.patch_size * vision.spatial_merge_size, vision.spatial_merge_size**2
    return VisionSizes(
        layers=vision.depth,
        width=vision.hidden_size,
        heads=vision.num_heads,
        mlp=vision.intermediate_size * (2 if third else 3),
        out=text.hidden_size * (1 + len(vision.deepstack_visual_indexes) if third else 1),
        patches=merged,
        pixels=3 * vision.temporal_patch_size * vision.patch_size**2,
        image=pictures.image // side**2,
        step=pictures.video // side**2 // (vision.temporal_patch_size if third else 1),
        steps=1 if third else 7,
        beside=0,
    )


def _internvl_vision(config: Any, text: Any, pictures: Pictures) -> VisionSizes:
    """Largest pictures as in vLLM's InternS1ProcessingInfo: a frame is a tile, and a video fills the context."""
    vision, tile = config.vision_config, config.image_seq_length
    patches = (vision.image_size[0] // vision.patch_size[0]) * (vision.image_size[1] // vision.patch_size[1])
    return VisionSizes(
        layers=vision.num_hidden_layers,
        width=vision.hidden_size,
        heads=vision.num_attention_heads,
        mlp=vision.intermediate_size * 2,
        out=text.hidden_size,
        patches=(patches + 1) / tile,
        pixels=3 * vision.patch_size[0] * vision.patch_size[1],
        image=pictures.tiles * tile,
        step=tile,
        steps=config.get_text_config().max_position_embeddings // tile,
        beside=pictures.tiles * tile,
    )
