# SPDX-License-Identifier: Apache-2.0
"""Videos from files, for qwen_vl_utils, with which verl reads them.

It takes TorchCodec, which needs FFmpeg's libraries on the machine, or else `torchvision.io.read_video`, which
torchvision 0.26 no longer has: without FFmpeg no file can be read. PyAV brings FFmpeg along, so it is the reader here,
with the same frames on every machine. `FORCE_QWENVL_VIDEO_READER=torchcodec` still chooses another.
"""

import functools
from collections.abc import Iterable
from types import ModuleType
from typing import Any

import numpy as np
from wrapt import when_imported

NAME = "pyav"


@functools.cache
def apply() -> None:
    """Patch qwen_vl_utils when it is imported; once per process."""
    when_imported("qwen_vl_utils.vision_process")(_patch)


def _patch(utils: ModuleType) -> None:
    def read(item: dict[str, Any]) -> tuple[Any, dict[str, Any], float]:
        return read_video(item, utils)

    # the second name is the one that qwen_vl_utils falls back to
    utils.VIDEO_READER_BACKENDS.update({NAME: read, "torchvision": read})
    utils.get_video_reader_backend = lambda: utils.FORCE_QWENVL_VIDEO_READER or NAME


def read_video(item: dict[str, Any], utils: ModuleType) -> tuple[Any, dict[str, Any], float]:
    """The frames of a video file that the item's `nframes` or `fps`, `video_start` and `video_end` choose.

    Args:
        item: a video as in a chat message, its path or URL under `video`.
        utils: `qwen_vl_utils.vision_process`, which chooses how many.

    Returns:
        uint8 [frames, 3, height, width], evenly spaced; metadata as qwen_vl_utils' own readers write it; frames a
        second of those returned.

    Raises:
        ValueError: a file without a video or with too few frames.
        av.error.FFmpegError: no such file, or not a video.
    """
    import torch

    path = _path(item)
    total, rate = _measure(path)
    while True:
        wanted, span = _choose(item, total, rate, utils)
        frames, decoded = _decode(path, wanted)
        if len(frames) == len(set(wanted)):
            break
        total = decoded  # fewer than the file has packets: its end is broken
    video = torch.stack([torch.from_numpy(frames[index]) for index in wanted]).permute(0, 3, 1, 2)
    metadata = {"fps": rate, "frames_indices": wanted, "total_num_frames": span, "video_backend": NAME}
    return video, metadata, len(wanted) / span * rate


def check_video(item: dict[str, Any], utils: ModuleType) -> None:
    """Open a video file and decode its first frame, as `read_video` does with all, and raising what that raises."""
    path = _path(item)
    _choose(item, *_measure(path), utils)
    _decode(path, [0])


def _path(item: dict[str, Any]) -> str:
    return str(item["video"]).removeprefix("file://")


def _choose(item: dict[str, Any], total: int, rate: float, utils: ModuleType) -> tuple[list[int], int]:
    """Numbers of the frames to take, and from how many."""
    first, last, span = utils.calculate_video_frame_range(item, total, rate)
    count = utils.smart_nframes(item, total_frames=span, video_fps=rate)
    return np.linspace(first, last, count).round().astype(int).tolist(), span


def _measure(path: str) -> tuple[int, float]:
    """Number of frames, by counting packets (a file's header may not say it), and frames a second."""
    import av

    with av.open(path) as container:
        if not container.streams.video:
            raise ValueError(f"{path} holds no video")
        stream = container.streams.video[0]
        rate = stream.average_rate or stream.guessed_rate
        total = sum(1 for packet in container.demux(stream) if packet.size)
    if not total or not rate:
        raise ValueError(f"{path} holds a video without frames, or without a rate of frames")
    return total, float(rate)


def _decode(path: str, wanted: Iterable[int]) -> tuple[dict[int, Any], int]:
    """Frames by number, each uint8 [height, width, 3], and how many were decoded up to the last that is wanted."""
    import av

    numbers = set(wanted)
    frames: dict[int, Any] = {}
    decoded = 0
    with av.open(path) as container:
        container.streams.video[0].thread_type = "AUTO"
        for number, frame in enumerate(container.decode(video=0)):
            decoded = number + 1
            if number in numbers:
                frames[number] = frame.to_ndarray(format="rgb24")
            if len(frames) == len(numbers):
                break
    return frames, decoded
