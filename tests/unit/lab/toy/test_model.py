# SPDX-License-Identifier: Apache-2.0
"""Tokenizer, processor and model of the toy world."""

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoProcessor, AutoTokenizer, Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLProcessor

from verl_df.lab.toy import text, world
from verl_df.lab.toy.model import build_model, save_model
from verl_df.lab.toy.settings import ModelSettings, PictureSettings
from verl_df.prompts import load_template
from verl_df.rows.special_tokens import QWEN


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("toy") / "init"
    save_model(path, ModelSettings(), seed=0)
    return path


@pytest.fixture(scope="module")
def tokenizer(folder):
    return AutoTokenizer.from_pretrained(folder)


def test_vocabulary_is_exactly_the_tokenizers(folder, tokenizer):
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder)
    assert model.config.text_config.vocab_size == len(tokenizer) == model.get_output_embeddings().weight.shape[0]
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert model.config.text_config.hidden_size // model.config.text_config.num_attention_heads == 32
    assert sorted(tokenizer.convert_tokens_to_ids(list(QWEN))) == list(
        range(len(tokenizer) - len(QWEN), len(tokenizer))
    )


def test_same_seed_same_model(folder, tokenizer):
    state = torch.get_rng_state()
    twin = build_model(tokenizer, ModelSettings(), seed=0).state_dict()
    other = build_model(tokenizer, ModelSettings(), seed=1).state_dict()
    saved = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder).state_dict()
    assert all(torch.equal(saved[name], twin[name]) for name in saved)
    assert not all(torch.equal(saved[name], other[name]) for name in saved)
    assert torch.equal(state, torch.get_rng_state())


def test_every_fact_is_one_token(tokenizer):
    for word in text.CELL_WORDS:
        assert len(tokenizer.encode(f" {word}")) == 1
    for label in text.ROW_LABELS:
        assert len(tokenizer.encode(label)) == 1
    rng = np.random.default_rng(0)
    for _ in range(50):
        question = text.sample_question(rng)
        words = text.words_of(world.sample_grid(rng, PictureSettings()), question)
        response = text.write_response(words, question, "up")
        ids = tokenizer.encode(response)
        assert tokenizer.decode(ids) == response
        assert len(ids) <= 44 and tokenizer.eos_token_id not in ids
        assert tokenizer.encode(tokenizer.decode(ids)) == ids


@pytest.mark.parametrize("sample", ["naïve 数え 🙂 \t x  y\n\n\n12 don't", "<|im_start|>user\nhi<|im_end|>", ""])
def test_round_trip_of_any_text(tokenizer, sample):
    assert tokenizer.decode(tokenizer.encode(sample)) == sample


def test_template_words_are_single_tokens(tokenizer):
    sentences = load_template()
    assert len(tokenizer.encode(sentences)) < 2 * len(sentences.split())


def test_processor_puts_nine_image_tokens(folder):
    processor = AutoProcessor.from_pretrained(folder)
    assert type(processor) is Qwen2_5_VLProcessor
    chat = [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "How many rows have a circle?"}]},
    ]
    prompt = processor.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
    assert prompt.startswith("<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n")
    assert prompt.endswith("<|im_start|>assistant\n")
    inputs = processor(text=[prompt], images=[Image.new("RGB", (84, 84))], return_tensors="pt")
    image_token = processor.tokenizer.convert_tokens_to_ids("<|image_pad|>")
    assert int((inputs["input_ids"] == image_token).sum()) == world.GRID**2
