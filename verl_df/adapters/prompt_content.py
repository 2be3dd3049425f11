# SPDX-License-Identifier: Apache-2.0
"""A prompt's messages as text and pictures, for what a run leaves to people."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from verl_df.io.pictures import item_picture

IMAGES_FOLDER = "images"


def save_image(item: dict[str, Any], folder: Path) -> str:
    """Write an image item as PNG, unless the same picture is there. Returns its file name."""
    picture = item_picture(item)
    name = hashlib.sha256(picture.tobytes()).hexdigest()[:16] + ".png"
    if not (folder / name).exists():
        folder.mkdir(parents=True, exist_ok=True)
        picture.save(folder / name)
    return name


def image_items(messages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The image items of a prompt's messages, in order."""
    contents = [message["content"] for message in messages if isinstance(message["content"], list)]
    return [item for content in contents for item in content if item["type"] == "image"]


def prompt_text(messages: Sequence[dict[str, Any]]) -> str:
    """A prompt's messages as plain text, `<image>` or `<video>` where media stand."""
    lines = []
    for message in messages:
        content = message["content"]
        items = [{"type": "text", "text": content}] if isinstance(content, str) else content
        lines.append("".join(item["text"] if item["type"] == "text" else f"<{item['type']}>" for item in items))
    return "\n".join(lines)
