# SPDX-License-Identifier: Apache-2.0
"""A tiny InternVL in the form of the `-HF` checkpoints, which is transformers' own."""

from pathlib import Path

from transformers import (
    GotOcr2ImageProcessor,
    InternVLConfig,
    InternVLProcessor,
    InternVLVideoProcessor,
    PreTrainedTokenizerBase,
)

from verl_df.lab.tiny.text_model import text_sizes
from verl_df.lab.tiny.tokenizer import save_tokenizer
from verl_df.rows.special_tokens import INTERNVL

PATCH, TILE = 14, 56  # pixels; a tile is 4 x 4 patches, and 2 x 2 visual tokens after the pixel shuffle
TILE_TOKENS = 4
MOST_TILES = 4
VISION_WIDTH = 64
# The form of InternVL3.5-HF: a line break after each image.
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for content in message['content'] %}"
    "{% if content['type'] == 'image' %}<IMG_CONTEXT>\n"
    "{% elif content['type'] == 'video' %}<video>\n"
    "{% elif content['type'] == 'text' %}{{ content['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def build_config(tokenizer: PreTrainedTokenizerBase) -> InternVLConfig:
    """Configuration of the model for this tokenizer."""
    text = {**text_sizes(tokenizer), "model_type": "qwen3", "tie_word_embeddings": False}
    vision = {
        "hidden_size": VISION_WIDTH,
        "intermediate_size": 2 * VISION_WIDTH,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "attention_bias": True,
        "image_size": [TILE, TILE],
        "patch_size": [PATCH, PATCH],
        "use_mean_pooling": True,
    }
    return InternVLConfig(
        text_config=text,
        vision_config=vision,
        image_token_id=tokenizer.convert_tokens_to_ids(INTERNVL["context_image_token"]),
        image_seq_length=TILE_TOKENS,
        tie_word_embeddings=False,
    )


def save_processor(folder: Path, seed: int) -> InternVLProcessor:
    """Save tokenizer and processor. An image is cut into 1 to 4 tiles, with a thumbnail where there are several."""
    tokenizer = save_tokenizer(folder, seed, tuple(INTERNVL.values()), CHAT_TEMPLATE, INTERNVL)
    size = {"height": TILE, "width": TILE}
    processor = InternVLProcessor(
        image_processor=GotOcr2ImageProcessor(size=size, crop_to_patches=True, min_patches=1, max_patches=MOST_TILES),
        tokenizer=tokenizer,
        video_processor=InternVLVideoProcessor(size=size),
        image_seq_length=TILE_TOKENS,
        chat_template=CHAT_TEMPLATE,
    )
    processor.save_pretrained(folder)
    return processor
