# SPDX-License-Identifier: Apache-2.0
"""A small byte-level BPE tokenizer of the Qwen2 kind, and the Qwen2.5-VL processor around it."""

import itertools
import json
from pathlib import Path

import numpy as np
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoTokenizer,
    PreTrainedTokenizerFast,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
)

from verl_df.lab.toy.questions import sample
from verl_df.lab.toy.settings import PictureSettings
from verl_df.lab.toy.text import boxed
from verl_df.lab.toy.world import CELL, GRID, sample_grid
from verl_df.prompts import load_template
from verl_df.rows.special_tokens import QWEN

# The split pattern of Qwen2: digits alone, a word with the space before it, line breaks apart.
QWEN2_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# Qwen2-VL's template without its default system prompt: a prompt of a tiny model should carry no dead weight.
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for content in message['content'] %}"
    "{% if content['type'] == 'image' or 'image' in content or 'image_url' in content %}"
    "<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif content['type'] == 'video' or 'video' in content %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% elif 'text' in content %}{{ content['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
MIN_FREQUENCY = 3


def training_texts(seed: int, kind: str = "count") -> list[str]:
    """Texts the tokenizer is trained on: questions, responses and prompts as they occur in the toy world."""
    rng = np.random.default_rng([seed, 7])
    texts = ["system\nuser\nassistant\nYou are a helpful assistant.", load_template()] * (2 * MIN_FREQUENCY)
    for _ in range(600):
        question = sample(kind, rng)
        words = question.words(sample_grid(rng, PictureSettings()))
        texts += [question.text, *(question.write(words, order) for order in question.orders)]
    return [*texts, *(boxed(str(digit)) for digit in range(10))]


def train_bpe(texts: list[str]) -> Tokenizer:
    """Byte-level BPE in which every word that occurs in `texts` is one token, special tokens last."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN2_PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=2000,  # never reached: training ends when every word is one token
        min_frequency=MIN_FREQUENCY,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    bpe.add_special_tokens(list(QWEN))
    return bpe


def save_processor(folder: Path, seed: int, kind: str = "count") -> Qwen2_5_VLProcessor:
    """Train the tokenizer and save a complete Qwen2.5-VL processor, so that `AutoProcessor` loads it from `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    bpe = train_bpe(training_texts(seed, kind))
    _save_tokenizer(bpe, folder)
    pixels = {"min_pixels": CELL * CELL, "max_pixels": (GRID * CELL) ** 2}
    patches = {"patch_size": 14, "temporal_patch_size": 2, "merge_size": 2}
    processor = Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(**pixels, **patches),
        tokenizer=AutoTokenizer.from_pretrained(folder),
        video_processor=Qwen2VLVideoProcessor(**pixels, **patches),
        chat_template=CHAT_TEMPLATE,
    )
    processor.save_pretrained(folder)
    return processor


def _save_tokenizer(bpe: Tokenizer, folder: Path) -> None:
    bpe.save(str(folder / "tokenizer.json"))
    model = json.loads(bpe.to_str())["model"]
    (folder / "vocab.json").write_text(json.dumps(model["vocab"]))
    merges = [" ".join(merge) for merge in model["merges"]]
    (folder / "merges.txt").write_text("\n".join(itertools.chain(["#version: 0.2"], merges)) + "\n")
    PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"),
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=list(QWEN),
        model_max_length=1024,
        clean_up_tokenization_spaces=False,
        chat_template=CHAT_TEMPLATE,
    ).save_pretrained(folder)
    # The processor asks for the stock Qwen2 class by name; the generic fast class saves its own name.
    config_file = folder / "tokenizer_config.json"
    config = json.loads(config_file.read_text())
    config |= {"tokenizer_class": "Qwen2Tokenizer", "processor_class": "Qwen2_5_VLProcessor"}
    config_file.write_text(json.dumps(config, indent=1))
