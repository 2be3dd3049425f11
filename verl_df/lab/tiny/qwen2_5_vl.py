# SPDX-License-Identifier: Apache-2.0
"""A tiny Qwen2.5-VL with random weights: the toy world's."""

from pathlib import Path

from transformers import Qwen2_5_VLForConditionalGeneration

from verl_df.lab.toy import model
from verl_df.lab.toy.settings import ModelSettings
from verl_df.lab.toy.tokenizer import save_processor


def build_model(folder: Path, seed: int) -> Qwen2_5_VLForConditionalGeneration:
    """Save the processor into `folder` and build the model, in float32."""
    return model.build_model(save_processor(folder, seed).tokenizer, ModelSettings(init_std=0.02), seed)
