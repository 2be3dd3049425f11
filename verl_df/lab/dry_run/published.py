# SPDX-License-Identifier: Apache-2.0
"""Numbers of the models that the launch scripts name, from their published config.json and preprocessor_config.json."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Pictures:
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
_QWEN2_PICTURES, _QWEN3_PICTURES = Pictures(12_845_056, 12_845_056), Pictures(16_777_216, 25_165_824)
KNOWN_MODELS: dict[str, tuple[dict, Pictures]] = {
    "Qwen/Qwen2.5-VL-3B-Instruct": (_qwen2_5_vl(2048, 11008, 36, 16, 2, 151936, tied=True), _QWEN2_PICTURES),
    "Qwen/Qwen2.5-VL-7B-Instruct": (_qwen2_5_vl(3584, 18944, 28, 28, 4, 152064), _QWEN2_PICTURES),
    "Qwen/Qwen2.5-VL-32B-Instruct": (_qwen2_5_vl(5120, 27648, 64, 40, 8, 152064, tower=3456), _QWEN2_PICTURES),
    "Qwen/Qwen3-VL-8B-Instruct": (_QWEN3_VL_8B, _QWEN3_PICTURES),
    "OpenGVLab/InternVL3_5-8B-HF": (_INTERNVL_8B, Pictures(tiles=13)),
    "OpenGVLab/InternVL3_5-8B-MPO-HF": (_INTERNVL_8B, Pictures(tiles=13)),
}
