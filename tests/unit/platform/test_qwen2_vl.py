# SPDX-License-Identifier: Apache-2.0
"""Micro-batches of Qwen2.5-VL without a picture, in verl's own forward."""

from pathlib import Path
from types import MethodType

import pytest
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor
from verl.models.transformers.qwen2_vl import forward_with_normal_backend, qwen2_vl_base_forward

from verl_df.lab.tiny import save_tiny_model

TEXT = "<|im_start|>user\nHow many?<|im_end|>\n"
PICTURE = "<|vision_start|><|image_pad|><|vision_end|>"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tiny") / "qwen2_5_vl"
    save_tiny_model("qwen2_5_vl", path)
    return path


@pytest.mark.parametrize("pictures", [False, True])
def test_verls_forward_is_transformers_own(folder: Path, pictures: bool) -> None:
    model, processor = AutoModelForImageTextToText.from_pretrained(folder), AutoProcessor.from_pretrained(folder)
    text, images = (PICTURE + TEXT, [Image.new("RGB", (84, 84), "red")]) if pictures else (TEXT, None)
    inputs = dict(processor(text=[text], images=images, return_tensors="pt"))
    with torch.no_grad():
        expected = model(**inputs).logits
    # as verl's `apply_monkey_patch` binds them; positions of text in front of those of M-RoPE
    kinds = inputs.pop("mm_token_type_ids")
    positions, _ = model.model.get_rope_index(
        inputs["input_ids"], kinds, inputs.get("image_grid_thw"), None, inputs["attention_mask"]
    )
    rows = torch.arange(inputs["input_ids"].shape[1])[None, None]
    model.model.forward = MethodType(qwen2_vl_base_forward, model.model)
    logits = forward_with_normal_backend(model, position_ids=torch.cat([rows, positions]), **inputs).logits
    assert torch.allclose(logits, expected, atol=1e-5)
    logits.logsumexp(-1).mean().backward()
    # FSDP's ranks stay together: the tower takes part, with and without a picture
    assert all(parameter.grad is not None for parameter in model.parameters())
