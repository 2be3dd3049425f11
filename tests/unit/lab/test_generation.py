# SPDX-License-Identifier: Apache-2.0
"""Prompts for vLLM's offline engine; the engine itself runs in the end-to-end tests."""

import pytest
import torch

from verl_df.lab.generation import request_seed, with_image_items


def test_another_seed_gives_other_samples_on_a_cpu_too() -> None:
    """A generator's first draws, as vLLM makes it of a seed; three requests of four samples under three seeds."""
    seeds = [request_seed(seed, number) + sample for seed in range(3) for number in range(3) for sample in range(4)]
    draws = [torch.rand(4, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    assert len({tuple(draw.tolist()) for draw in draws}) == 36


def test_markers_become_image_items_in_order() -> None:
    messages = [{"role": "system", "content": "Look."}, {"role": "user", "content": "<image>a<image> b"}]
    image = {"type": "image"}
    assert with_image_items(messages, 2) == [
        {"role": "system", "content": [{"type": "text", "text": "Look."}]},
        {"role": "user", "content": [image, {"type": "text", "text": "a"}, image, {"type": "text", "text": " b"}]},
    ]
    assert messages[1]["content"] == "<image>a<image> b"  # left as it was


@pytest.mark.parametrize(("text", "images"), [("<image>", 0), ("no marker", 1), ("<image><image>", 1)])
def test_markers_and_images_must_agree(text: str, images: int) -> None:
    with pytest.raises(ValueError, match=f"markers for {images} images"):
        with_image_items([{"role": "user", "content": text}], images)
