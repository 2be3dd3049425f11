# SPDX-License-Identifier: Apache-2.0
"""The tokens that models keep for themselves: in a question they would end a turn, or stand for a picture."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

QWEN = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>",
    "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>",
    "<|image_pad|>", "<|video_pad|>",
)  # fmt: skip
INTERNVL = {
    "start_image_token": "<img>",
    "end_image_token": "</img>",
    "context_image_token": "<IMG_CONTEXT>",
    "video_token": "<video>",
}
FAMILIES = {"qwen2_5_vl": QWEN, "qwen3_vl": QWEN, "internvl": (*QWEN, *INTERNVL.values())}
"""By `model_type`."""
SPECIAL_TOKENS = frozenset(token for tokens in FAMILIES.values() for token in tokens)
"""Of all supported models: for data whose model is not known yet."""


def special_tokens(tokenizer: "PreTrainedTokenizerBase") -> frozenset[str]:
    """A tokenizer's own: text that it reads as a token of its chat form or of a picture."""
    added = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    return frozenset(added | set(tokenizer.all_special_tokens))
