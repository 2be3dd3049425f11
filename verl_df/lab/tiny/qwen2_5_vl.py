# SPDX-License-Identifier: Apache-2.0
"""A tiny Qwen2.5-VL: the toy world's."""

from transformers import PreTrainedTokenizerBase, Qwen2_5_VLConfig

from verl_df.lab.toy import model
from verl_df.lab.toy.settings import ModelSettings
from verl_df.lab.toy.tokenizer import save_processor

__all__ = ["build_config", "save_processor"]


def build_config(tokenizer: PreTrainedTokenizerBase) -> Qwen2_5_VLConfig:
    """Configuration of the model for this tokenizer."""
    return model.build_config(tokenizer, ModelSettings(init_std=0.02))
