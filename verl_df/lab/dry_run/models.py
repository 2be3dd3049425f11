# SPDX-License-Identifier: Apache-2.0
"""Sizes of the models that the launch scripts name, for the arithmetic of a dry run: the numbers of their published
configurations, from which transformers builds the model without its weights.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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


@dataclass(frozen=True)
class _Pictures:
    """From preprocessor_config.json: image, video: most pixels of one (video: of all frames); tiles: InternVL's most,
    the thumbnail included.
    """

    image: int = 0
    video: int = 0
    tiles: int = 0


def _qwen2_5_vl(width: int, inner: int, layers: int, heads: int, kv_heads: int, vocabulary: int, **more: Any) -> dict:
    tied, tower = more.get("tied", False), more.get("tower", 3420)
    text = {
        "hidden_size": width,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "vocab_size": vocabulary,
        "max_position_embeddings": 128000,
        "tie_word_embeddings": tied,
    }
    vision = {"depth": 32, "hidden_size": 1280, "intermediate_size": tower, "num_heads": 16, "out_hidden_size": width}
    return {"model_type": "qwen2_5_vl", "text_config": text, "vision_config": vision, "tie_word_embeddings": tied}


_QWEN3_8B = {
    "hidden_size": 4096,
    "intermediate_size": 12288,
    "num_hidden_layers": 36,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": 151936,
    "tie_word_embeddings": False,
}
_QWEN3_VL_8B = {
    "model_type": "qwen3_vl",
    "text_config": {**_QWEN3_8B, "max_position_embeddings": 262144},
    "vision_config": {
        "depth": 27,
        "hidden_size": 1152,
        "intermediate_size": 4304,
        "num_heads": 16,
        "patch_size": 16,
        "out_hidden_size": 4096,
        "num_position_embeddings": 2304,
        "deepstack_visual_indexes": [8, 16, 24],
    },
    "tie_word_embeddings": False,
}
_INTERNVL_8B = {  # its stages differ in weights only
    "model_type": "internvl",
    "text_config": {**_QWEN3_8B, "model_type": "qwen3", "max_position_embeddings": 40960},
    "vision_config": {
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "attention_bias": True,
        "image_size": [448, 448],
        "patch_size": [14, 14],
    },
    "tie_word_embeddings": False,
}
_QWEN2_PICTURES, _QWEN3_PICTURES = _Pictures(12_845_056, 12_845_056), _Pictures(16_777_216, 25_165_824)
KNOWN_MODELS: dict[str, tuple[dict, _Pictures]] = {
    "Qwen/Qwen2.5-VL-3B-Instruct": (_qwen2_5_vl(2048, 11008, 36, 16, 2, 151936, tied=True), _QWEN2_PICTURES),
    "Qwen/Qwen2.5-VL-7B-Instruct": (_qwen2_5_vl(3584, 18944, 28, 28, 4, 152064), _QWEN2_PICTURES),
    "Qwen/Qwen2.5-VL-32B-Instruct": (_qwen2_5_vl(5120, 27648, 64, 40, 8, 152064, tower=3456), _QWEN2_PICTURES),
    "Qwen/Qwen3-VL-8B-Instruct": (_QWEN3_VL_8B, _QWEN3_PICTURES),
    "OpenGVLab/InternVL3_5-8B-HF": (_INTERNVL_8B, _Pictures(tiles=13)),
    "OpenGVLab/InternVL3_5-8B-MPO-HF": (_INTERNVL_8B, _Pictures(tiles=13)),
}


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


def _pictures_of(folder: str) -> _Pictures:
    from transformers import AutoProcessor

    processor = AutoProcessor.from_pretrained(folder)
    image = processor.image_processor
    if "InternVL" in type(processor).__name__:
        return _Pictures(tiles=image.max_patches + (image.crop_to_patches and image.max_patches > 1))
    return _Pictures(image.size["longest_edge"], processor.video_processor.size["longest_edge"])


def _sizes(config: Any, pictures: _Pictures) -> ModelSizes:
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


def _qwen_vision(config: Any, text: Any, pictures: _Pictures) -> VisionSizes:
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


def _internvl_vision(config: Any, text: Any, pictures: _Pictures) -> VisionSizes:
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
