# SPDX-License-Identifier: Apache-2.0
"""The toy world on clips: the same question about figures that come and go, in verl's `videos` column.

A clip has a first and a second half of two frames each. A figure stands in both or in one of them, so no single frame
need show all. What is asked, and every word of a response, is as with pictures: the kept policy and repair model,
trained on pictures alone, are where training starts.
"""

from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from verl_df.lab.toy.data import Example, rl_row, write_parquet
from verl_df.lab.toy.settings import ClipSettings, ToySettings
from verl_df.lab.toy.text import sample_question
from verl_df.lab.toy.world import CELL, GRID, Grid, render, sample_grid, to_png

# Random streams of their own, beside those of `data.SPLITS`.
SPLITS = {"train": 7, "val": 8}
HALVES, FRAMES_EACH = 2, 2  # Qwen2.5-VL takes two frames for one step of time
# qwen_vl_utils rounds the sides of a frame to multiples of 56 pixels, which a picture of 84 x 84 has not. The processor
# brings them down to 84 again.
_SCALE = 2
_SIDE = GRID * CELL * _SCALE


def clip_rows(split: str, count: int, settings: ToySettings) -> Iterator[dict[str, object]]:
    """The first `count` rows of a split in verl's RL format. Each depends on (seed, split, index) alone.

    Raises:
        KeyError: if `split` is not a key of SPLITS.
    """
    for index in range(count):
        rng = np.random.default_rng([settings.seed, SPLITS[split], index])
        grid, question = sample_grid(rng, settings.picture), sample_question(rng)
        frames = [_data_uri(render(rng, half, settings.picture)) for half in halves(rng, grid, settings.clip)]
        rate = settings.clip.rates[rng.integers(len(settings.clip.rates))]
        row = rl_row(Example(f"clip_{split}", index, grid, question, png=b""))
        del row["images"]
        row["prompt"] = [{"role": "user", "content": f"<video>{question.text}"}]
        row["videos"] = [
            {
                "video": [frame for frame in frames for _ in range(FRAMES_EACH)],
                "sample_fps": rate,
                "min_pixels": _SIDE * _SIDE,
            }
        ]
        yield row


def halves(rng: np.random.Generator, grid: Grid, settings: ClipSettings) -> list[Grid]:
    """The grid as each half of a clip shows it; every figure is in one of them at least."""
    brief = rng.random((GRID, GRID)) < settings.brief
    at = rng.integers(HALVES, size=(GRID, GRID))

    def shown(half: int) -> Grid:
        return tuple(
            tuple(None if brief[row, column] and at[row, column] != half else cell for column, cell in enumerate(cells))
            for row, cells in enumerate(grid)
        )

    return [shown(half) for half in range(HALVES)]


def _data_uri(picture: np.ndarray) -> str:
    png = to_png(picture.repeat(_SCALE, axis=0).repeat(_SCALE, axis=1))
    return "data:image/png;base64," + b64encode(png).decode("ascii")


def write_clip_data(folder: Path, settings: ToySettings) -> dict[str, int]:
    """Write `train.parquet` and `val.parquet`. Returns their row counts."""
    sizes = {"train": settings.rl_train_rows, "val": settings.rl_val_rows}
    for split, count in sizes.items():
        write_parquet(list(clip_rows(split, count, settings)), folder / f"{split}.parquet")
    return sizes
