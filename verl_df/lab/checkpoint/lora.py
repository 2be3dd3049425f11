# SPDX-License-Identifier: Apache-2.0
"""LoRA checkpoints: verl's shards hold the frozen weights and the adapters side by side, or the adapters alone."""

import shutil
from pathlib import Path

import torch
from peft import PeftModel
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText, PreTrainedModel
from verl.utils.checkpoint.checkpoint_manager import BaseCheckpointManager

from verl_df.lab.checkpoint.locate import LORA_META, Shards
from verl_df.lab.checkpoint.tensors import load_shard

# verl's merger writes the adapters here, in PEFT's form.
ADAPTER = "lora_adapter"


def has_adapters(shards: Shards) -> bool:
    """Whether there are adapters to fold.

    Raises:
        ValueError: a broken shard; the frozen weights were not saved; or there is no note of lora_alpha, for which
            verl's merger takes 0: the adapters would have no effect.
    """
    names = load_shard(shards.path(0))
    if not any("lora_" in name for name in names):
        return False
    if BaseCheckpointManager.is_lora_only_state_dict(names):
        raise ValueError(
            f"{shards.folder}: holds the adapters only (checkpoint.save_lora_only), and verl's merger makes no model "
            "of them; resume the run with actor.checkpoint.save_lora_only=False and save again"
        )
    alpha = (shards.lora() or {}).get("lora_alpha")
    if not isinstance(alpha, int) or alpha == 0:
        raise ValueError(
            f"{shards.folder / LORA_META}: no lora_alpha, so the adapters' scale is unknown; write r, lora_alpha and "
            "task_type of the run into it"
        )
    return True


def fold_adapters(folder: Path, dtype: torch.dtype) -> None:
    """Add the adapters in `folder/lora_adapter` to the weights in `folder`, and remove them.

    Added in float32, then rounded to `dtype`: added in bfloat16, what a small update changes would be lost.
    """
    adapter = folder / ADAPTER
    base = load_model(folder, torch.float32)
    whole = PeftModel.from_pretrained(base, str(adapter)).merge_and_unload().to(dtype)
    for path in folder.glob("*.safetensors*"):
        path.unlink()
    whole.save_pretrained(folder)
    shutil.rmtree(adapter)


def load_model(folder: Path, dtype: torch.dtype | str = "auto") -> PreTrainedModel:
    """The model of a Hugging Face folder, by plain transformers."""
    config = AutoConfig.from_pretrained(folder)
    text_only = config.get_text_config() is config
    auto_class = AutoModelForCausalLM if text_only else AutoModelForImageTextToText
    return auto_class.from_pretrained(folder, dtype=dtype, attn_implementation="sdpa")
