# SPDX-License-Identifier: Apache-2.0
"""InternVL in verl: what verl 0.9.1, which does not know the model, gets wrong without an error of its own.

The `-HF` checkpoints (`OpenGVLab/InternVL3_5-8B-HF`) hold transformers' `InternVLForConditionalGeneration`, which
verl's FSDP engine trains and vLLM serves as they are. Three places in between know a list of processors:

- `hf_processor` warns of an unsupported processor and returns none: a run without images. Here it returns InternVL's,
  whose positions have one axis.
- The prompt for vLLM holds an image token for each feature, and vLLM repeats each of them again. Here it holds one for
  each image.
- The features of a finished rollout are asked for with a text whose special tokens were dropped, and the processor
  counts them. Here it takes images without markers (`internvl_processor.py`).

Images only: a video's frames are written as images with a caption, which the prompt for vLLM does not undo.
"""

from collections.abc import Callable
from types import ModuleType
from typing import Any

from verl_df.platform.patching import on_import, replace_everywhere

MODEL_TYPE = "internvl"


def apply() -> None:
    """Patch the two modules of verl when they are imported."""
    on_import("verl.utils.tokenizer.tokenizer", _patch_processor)
    on_import("verl.workers.rollout.utils", _patch_prompt)


def collapse_images(prompt_ids: list[int], processor: Any) -> list[int]:
    """One context token for each `<img> context ... context </img>`, the form in which vLLM looks for images."""
    start, end = processor.start_image_token_id, processor.end_image_token_id
    collapsed: list[int] = []
    for position, token in enumerate(prompt_ids):
        before = prompt_ids[position - 1] if position else None
        after = prompt_ids[position + 1] if position + 1 < len(prompt_ids) else None
        opens = token == start and after == processor.image_token_id
        closes = token == end and before == processor.image_token_id
        repeats = token == processor.image_token_id == before
        if not (opens or closes or repeats):
            collapsed.append(token)
    return collapsed


def _patch_processor(tokenizer: ModuleType) -> None:
    stock = tokenizer.hf_processor

    def hf_processor(name_or_path: str, **options: Any) -> Any:
        return _load_processor(name_or_path, stock, options)

    replace_everywhere(tokenizer, "hf_processor", hf_processor)


def _load_processor(name_or_path: str, stock: Callable[..., Any], options: dict[str, Any]) -> Any:
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(name_or_path, **options)
    except (OSError, ValueError):  # a folder with a tokenizer only; what verl does then is verl's affair
        return stock(name_or_path, **options)
    if config.model_type != MODEL_TYPE:
        return stock(name_or_path, **options)
    from verl_df.platform.internvl_processor import InternVLProcessor

    processor = InternVLProcessor.from_pretrained(name_or_path, **options)
    processor.config = config  # as verl leaves every processor
    return processor


def _patch_prompt(utils: ModuleType) -> None:
    stock = utils.qwen2_5_vl_dedup_image_tokens

    def qwen2_5_vl_dedup_image_tokens(prompt_ids: list[int], processor: Any) -> list[int]:
        if type(processor).__name__ == "InternVLProcessor":
            return collapse_images(list(prompt_ids), processor)
        return stock(prompt_ids, processor)

    replace_everywhere(utils, "qwen2_5_vl_dedup_image_tokens", qwen2_5_vl_dedup_image_tokens)
