# SPDX-License-Identifier: Apache-2.0
"""Videos of a row: what they must be so that verl can read them."""

from collections.abc import Iterable, Mapping
from io import BytesIO
from typing import Any

import av
from PIL import Image

from verl_df.platform.video_files import check_video

_NOT_LOCAL = ("http://", "https://")
_FORMS = "give a file's path, a list of frames, or a struct with either under `video`"
_UNREADABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError, av.FFmpegError)


def video_problem(videos: Iterable[Any] | None, pictures: bool) -> str | None:
    """What is wrong with the videos of one row, as verl's data set reads them, or None.

    Args:
        videos: the row's; of a file only the first frame is decoded, and what has a web address is left to verl.
        pictures: whether frames are pictures by then, see `features.holds_images`.
    """
    for number, video in enumerate(videos or ()):
        problem = _problem(video, pictures)
        if problem:
            return f"video {number}{problem}"
    return None


def _problem(video: Any, pictures: bool) -> str | None:
    item = dict(video) if isinstance(video, Mapping) else {"video": video}
    empty = [name for name, value in item.items() if value is None]
    if empty:
        return f" has null under {empty[0]!r}: leave the key out, or write a value in every row"
    content = item.get("video")
    if isinstance(content, str):
        return None if content.startswith(_NOT_LOCAL) else _file_problem(item)
    if not isinstance(content, list):
        return f" is {type(content).__name__}: {_FORMS}"
    if not content:
        return " has no frames"
    for place, frame in enumerate(content):
        problem = _frame_problem(frame, pictures)
        if problem:
            return f", frame {place} {problem}"
    return None


def _file_problem(item: dict[str, Any]) -> str | None:
    if "fps" in item and "nframes" in item:
        return " has both fps and nframes: leave one out"
    from qwen_vl_utils import vision_process  # seconds of imports

    try:
        check_video(item, vision_process)
    except _UNREADABLE as error:
        return f" cannot be read: {error}"
    return None


def _frame_problem(frame: Any, pictures: bool) -> str | None:
    content = frame.get("bytes") if isinstance(frame, Mapping) and pictures else None
    if content is None and not isinstance(frame, str):
        return f"is {type(frame).__name__}: verl reads paths and data URIs (data:image/png;base64,...)"
    if isinstance(frame, str) and frame.startswith(_NOT_LOCAL):
        return None
    from qwen_vl_utils import fetch_image

    try:
        fetch_image({"image": frame if content is None else Image.open(BytesIO(content))})
    except _UNREADABLE as error:
        return f"cannot be read: {error}"
    return None
