# SPDX-License-Identifier: Apache-2.0
"""The tokenizer of tiny models: the toy world's byte-level BPE with the special tokens of another model family."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from tokenizers import AddedToken, Tokenizer
from transformers import PreTrainedTokenizerFast

from verl_df.lab.toy.tokenizer import train_bpe, training_texts


def save_tokenizer(
    folder: Path, seed: int, special_tokens: Sequence[str], template: str, named: Mapping[str, str] | None = None
) -> PreTrainedTokenizerFast:
    """Train a tokenizer and save it into `folder`.

    Args:
        folder: made if it is not there.
        seed: of the texts it is trained on.
        special_tokens: besides those of the chat form and of the toy world.
        template: Jinja chat template.
        named: attributes of the tokenizer that hold a special token (`start_image_token`, ...).
    """
    folder.mkdir(parents=True, exist_ok=True)
    bpe: Tokenizer = train_bpe(training_texts(seed))
    bpe.add_special_tokens([AddedToken(token, special=True) for token in special_tokens])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        extra_special_tokens=dict(named or {}),
        model_max_length=1024,
        clean_up_tokenization_spaces=False,
        chat_template=template,
    )
    tokenizer.save_pretrained(folder)
    return tokenizer
