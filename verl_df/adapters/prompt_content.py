# SPDX-License-Identifier: Apache-2.0
"""A prompt's messages as text and pictures, for what a run leaves to people, and for judges and auditors."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from qwen_vl_utils import fetch_video

from verl_df.io.pictures import item_picture

IMAGES_FOLDER = "images"
# Of a video, evenly spaced, first and last among them: what people, judges and auditors see.
FRAMES_SHOWN = 16
_FRAMES_ABREAST, _GAP = 4, 4


def media_items(messages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The image and video items of a prompt's messages, in order."""
    contents = [message["content"] for message in messages if isinstance(message["content"], list)]
    return [item for content in contents for item in content if item["type"] in ("image", "video")]


def pictures(messages: Sequence[dict[str, Any]]) -> list[Image.Image]:
    """What a prompt shows: its images, and of each video up to `FRAMES_SHOWN` frames, in order."""
    return [picture for item in media_items(messages) for picture in _pictures(item)]


def video_frames(item: dict[str, Any]) -> tuple[list[Image.Image], float]:
    """The frames of a video item as the model gets them, before the processor, and their number a second."""
    frames, rate = fetch_video(item, return_video_sample_fps=True)
    return [Image.fromarray(frame) for frame in frames.byte().permute(0, 2, 3, 1).numpy()], rate


def save_media(messages: Sequence[dict[str, Any]], folder: Path) -> tuple[str, ...]:
    """Write each image, and each video as one sheet of frames, as PNG, unless it is there. Returns the file names."""
    return tuple(_save(_pictures(item), folder) for item in media_items(messages))


def _pictures(item: dict[str, Any]) -> list[Image.Image]:
    if item["type"] == "image":
        return [item_picture(item)]
    frames, _ = video_frames(item)
    shown = np.linspace(0, len(frames) - 1, min(len(frames), FRAMES_SHOWN)).round().astype(int)
    return [frames[number] for number in shown]


def _save(shown: Sequence[Image.Image], folder: Path) -> str:
    picture = shown[0] if len(shown) == 1 else sheet(shown)
    name = hashlib.sha256(picture.tobytes()).hexdigest()[:16] + ".png"
    if not (folder / name).exists():
        folder.mkdir(parents=True, exist_ok=True)
        picture.save(folder / name)
    return name


def sheet(frames: Sequence[Image.Image]) -> Image.Image:
    """Frames of one size on one white picture, four abreast, in reading order."""
    width, height = frames[0].size
    columns = min(len(frames), _FRAMES_ABREAST)
    lines = -(-len(frames) // columns)
    whole = Image.new("RGB", (columns * (width + _GAP) - _GAP, lines * (height + _GAP) - _GAP), "white")
    for number, frame in enumerate(frames):
        whole.paste(frame, (number % columns * (width + _GAP), number // columns * (height + _GAP)))
    return whole


def prompt_text(messages: Sequence[dict[str, Any]]) -> str:
    """A prompt's messages as plain text, `<image>` or `<video>` where media stand."""
    lines = []
    for message in messages:
        content = message["content"]
        items = [{"type": "text", "text": content}] if isinstance(content, str) else content
        lines.append("".join(item["text"] if item["type"] == "text" else f"<{item['type']}>" for item in items))
    return "\n".join(lines)
