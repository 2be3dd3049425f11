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

And one thing that transformers leaves out: rows without an image, such as the rows with which verl fills a batch up,
pass the vision tower by. Where a rank has only such rows in a micro-batch, the others wait for it in FSDP's gather of
the tower's weights for good. Here they run one empty tile through it, as verl has it for Qwen.

And one that transformers takes for granted: a configuration that does not say whether embeddings and output layer share
their weights is read as if they did, whatever its language model says. verl would then load the model whole on each
rank, and keep both layers in one unit of FSDP. Here the language model decides.

Images only: a video's frames are written as images with a caption, which the prompt for vLLM does not undo.
"""

import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any

from wrapt import when_imported

from verl_df.platform.patching import replace_everywhere

MODEL_TYPE = "internvl"


def apply() -> None:
    """Patch two modules of verl, and model and configuration of transformers, when they are imported."""
    when_imported("verl.utils.tokenizer.tokenizer")(_patch_processor)
    when_imported("verl.workers.rollout.utils")(_patch_prompt)
    when_imported("transformers.models.internvl.modeling_internvl")(_patch_model)
    when_imported("transformers.models.internvl.configuration_internvl")(_patch_config)


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


def _patch_model(modeling: ModuleType) -> None:
    import torch

    stock = modeling.InternVLModel.forward

    @functools.wraps(stock)
    def forward(self: Any, input_ids: Any = None, pixel_values: Any = None, **others: Any) -> Any:
        # with a cache the images have been seen: generation, token by token
        if pixel_values is None and others.get("past_key_values") is None:
            embeddings = others.pop("inputs_embeds", None)
            embeddings = self.get_input_embeddings()(input_ids) if embeddings is None else embeddings
            vision = self.config.vision_config
            tile = torch.zeros(1, vision.num_channels, *vision.image_size, dtype=embeddings.dtype)
            features = self.get_image_features(pixel_values=tile.to(embeddings.device), return_dict=True).pooler_output
            return stock(self, inputs_embeds=embeddings + 0.0 * features.mean(), **others)
        return stock(self, input_ids, pixel_values, **others)

    modeling.InternVLModel.forward = forward


def _patch_config(configuration: ModuleType) -> None:
    stock, key = configuration.InternVLConfig.from_dict.__func__, "tie_word_embeddings"

    def from_dict(cls: Any, config_dict: dict[str, Any], **options: Any) -> Any:
        said, made = key in config_dict or key in options, stock(cls, config_dict, **options)
        config = made[0] if isinstance(made, tuple) else made
        if not said:
            config.tie_word_embeddings = config.text_config.tie_word_embeddings
        return made

    configuration.InternVLConfig.from_dict = classmethod(from_dict)
