# SPDX-License-Identifier: Apache-2.0
"""Short videos for tests."""

import io
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image


def write_video(path: Path, frames: Sequence[np.ndarray], rate: int) -> str:
    """Frames, each uint8 [height, width, 3], as a file with `rate` of them a second. Returns its path."""
    height, width, _ = frames[0].shape
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.bit_rate = 8_000_000
        for picture in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return str(path)


def still(png: bytes, count: int = 4) -> dict[str, Any]:
    """A toy picture as a video of `count` frames alike, in verl's form."""
    with Image.open(io.BytesIO(png)) as picture:
        frame = picture.resize((2 * picture.width, 2 * picture.height), Image.Resampling.NEAREST)
    stream = io.BytesIO()
    frame.save(stream, "PNG")
    uri = "data:image/png;base64," + b64encode(stream.getvalue()).decode("ascii")
    return {"video": [uri] * count, "min_pixels": frame.width * frame.height}
