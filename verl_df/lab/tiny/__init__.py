# SPDX-License-Identifier: Apache-2.0
"""Tiny models with random weights, one for each architecture that the launch scripts train.

They stand in for the real ones where those cannot be had: a dry run of a launch script, and two real steps of it on a
CPU. A folder is complete (weights, processor, chat template), so that everything that reads a model reads it.

    verl-df tiny model internvl --out outputs/tiny/internvl
"""

import importlib
import math
from pathlib import Path
from typing import Any

from verl_df.method.checks import did_you_mean

# `model_type` of the real models' config.json, each a module of this package, and the class that it names.
CLASSES = {
    "qwen2_5_vl": "Qwen2_5_VLForConditionalGeneration",
    "qwen3_vl": "Qwen3VLForConditionalGeneration",
    "internvl": "InternVLForConditionalGeneration",
}
ARCHITECTURES = tuple(CLASSES)
# Chance of the end token at any place. Other tokens are about equally likely.
_END = 0.1
_NEVER = 30.0
# Those that there is a large one of.
LARGE = ("qwen2_5_vl",)


def save_tiny_model(
    architecture: str, folder: Path, seed: int = 0, *, large: bool = False, weights_seed: int | None = None
) -> int:
    """Write a tiny model folder. The same seed gives the same weights and the same tokenizer.

    Its responses are noise that ends after about ten tokens: one that never ends could never be a repair.

    Args:
        architecture: one of `ARCHITECTURES`.
        folder: made if it is not there.
        seed: of the weights, and of the texts that the tokenizer is trained on.
        large: one for a GPU instead, of 1.7 billion parameters in bfloat16 (`qwen2_5_vl` only). Its weights are drawn
            where there is a GPU on that, and depend on the device.
        weights_seed: another one for the weights: two models with one tokenizer.

    Returns:
        the number of parameters.

    Raises:
        ValueError: an architecture that there is no tiny, or no large, model of.
    """
    if architecture not in ARCHITECTURES:
        hint = did_you_mean(architecture, ARCHITECTURES)
        raise ValueError(
            f"no tiny model of {architecture!r}: there are {', '.join(ARCHITECTURES)}{hint and '; ' + hint}"
        )
    if large and architecture not in LARGE:
        raise ValueError(f"no large model of {architecture!r}: there is one of {', '.join(LARGE)}")
    import torch  # seconds, and so is what the next line imports
    from transformers import AutoModelForImageTextToText

    builder = importlib.import_module(f"verl_df.lab.tiny.{architecture}")
    tokenizer = (builder.save_large_processor if large else builder.save_processor)(folder, seed).tokenizer
    config = (builder.build_large_config if large else builder.build_config)(tokenizer)
    device = "cuda" if large and torch.cuda.is_available() else "cpu"
    with torch.random.fork_rng(), torch.device(device):
        torch.manual_seed(seed if weights_seed is None else weights_seed)
        model = AutoModelForImageTextToText.from_config(config, dtype=torch.bfloat16 if large else torch.float32)
    ends = tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"])
    _end_soon(model, ends[0], len(tokenizer))
    model.generation_config.eos_token_id = ends
    model.generation_config.pad_token_id = ends[1]
    model.save_pretrained(folder)
    return sum(parameter.numel() for parameter in model.parameters())


def _end_soon(model: Any, end: int, vocabulary: int) -> None:
    """Make the end token about as likely as `_END` everywhere.

    Every embedding gets the same large first component, which the residual stream carries to the last norm; the
    output row of the end token reads that component alone, scaled to the logit wanted. So do rows beyond the
    tokenizer's, with which real models round up: nobody samples those.
    """
    import torch

    embeddings, output = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    with torch.no_grad():
        embeddings[:, 0] = 1.0
        output[:, 0] = 0.0
        output[end] = 0.0
        root = embeddings.shape[1] ** 0.5  # where the norm leaves that component
        output[end, 0] = math.log(_END / (1 - _END) * vocabulary) / root
        output[vocabulary:] = 0.0
        output[vocabulary:, 0] = -_NEVER / root
