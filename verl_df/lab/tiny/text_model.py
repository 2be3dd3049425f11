# SPDX-License-Identifier: Apache-2.0
"""Sizes of the language model in a tiny model: those of a small Qwen3."""

from typing import Any

from transformers import PreTrainedTokenizerBase

WIDTH = 128


def text_sizes(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """Keys of a text configuration; the vocabulary is the tokenizer's (see `verl_df.lab.toy.model.build_config`)."""
    end, pad = tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"])
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": WIDTH,
        "intermediate_size": 2 * WIDTH,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 32,  # vLLM's CPU attention kernel asks for a multiple of 32
        "max_position_embeddings": 1024,
        "bos_token_id": pad,
        "eos_token_id": end,
        "pad_token_id": pad,
    }
