# SPDX-License-Identifier: Apache-2.0
"""Prompts for vLLM's offline engine; the engine itself runs in the end-to-end tests."""

import pytest

from verl_df.generation import with_image_items


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
