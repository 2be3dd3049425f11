# SPDX-License-Identifier: Apache-2.0
"""Grids of coloured figures and their pictures."""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from verl_df.lab.toy.settings import PictureSettings

GRID = 3  # rows and columns
CELL = 28  # pixels: one cell is exactly one visual token of Qwen2.5-VL (patch 14, merged 2 x 2)
COLOURS = {"red": (214, 40, 40), "green": (40, 160, 60), "blue": (45, 80, 210), "yellow": (230, 200, 40)}
SHAPES = ("circle", "square", "triangle")
EMPTY = "empty"
RIM_LEVEL, RIM_WIDTH = 25.0, 3.0  # brightness in levels of 255, width in pixels


@dataclass(frozen=True)
class Figure:
    """A figure of one cell. `faint` changes only how it is drawn, never what is true of it."""

    colour: str
    shape: str
    faint: bool = False


Cell = Figure | None
Grid = tuple[tuple[Cell, ...], ...]  # GRID rows of GRID cells


def sample_grid(rng: np.random.Generator, settings: PictureSettings) -> Grid:
    """Draw a random grid."""
    return tuple(tuple(_sample_cell(rng, settings) for _ in range(GRID)) for _ in range(GRID))


def _sample_cell(rng: np.random.Generator, settings: PictureSettings) -> Cell:
    if rng.random() >= settings.fill:
        return None
    colour = list(COLOURS)[rng.integers(len(COLOURS))]
    return Figure(colour, SHAPES[rng.integers(len(SHAPES))], faint=bool(rng.random() < settings.faint))


def grid_to_lists(grid: Grid) -> list[list[str]]:
    """Grid as nested lists of "empty" or "<colour> <shape>": the form kept in `extra_info["grid"]`."""
    return [[EMPTY if cell is None else f"{cell.colour} {cell.shape}" for cell in row] for row in grid]


def grid_from_lists(rows: object) -> Grid:
    """Read `extra_info["grid"]` back (lists or NumPy arrays of strings). Faintness is not kept.

    Raises:
        ValueError: if it is not a GRID x GRID table of "empty" or "<colour> <shape>".
    """
    table = [[str(cell) for cell in row] for row in rows]  # type: ignore[attr-defined]
    if len(table) != GRID or any(len(row) != GRID for row in table):
        raise ValueError(f"extra_info['grid'] must have {GRID} rows of {GRID} cells, got {table!r}")
    return tuple(tuple(_parse_cell(cell) for cell in row) for row in table)


def _parse_cell(text: str) -> Cell:
    if text == EMPTY:
        return None
    colour, _, shape = text.partition(" ")
    if colour not in COLOURS or shape not in SHAPES:
        raise ValueError(
            f"extra_info['grid'] has the cell {text!r}; write {EMPTY!r} or '<colour> <shape>' "
            f"with a colour of {sorted(COLOURS)} and a shape of {list(SHAPES)}"
        )
    return Figure(colour, shape)


def render(rng: np.random.Generator, grid: Grid, settings: PictureSettings) -> np.ndarray:
    """Picture of a grid, uint8 [84, 84, 3].

    The background's red rises with the row and its blue with the column: a vision tower this small finds out where a
    cell is much sooner from the tint than from rotary positions alone.
    """
    canvas = _background()
    for row, cells in enumerate(grid):
        for column, cell in enumerate(cells):
            if cell is not None:
                _draw(rng, canvas[row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL], cell, settings)
    # Blotches of 7 x 7 pixels, because the patch embedding averages single-pixel noise away.
    blotches = rng.normal(0.0, settings.noise, (GRID * CELL // 7, GRID * CELL // 7, 3))
    canvas += np.kron(blotches, np.ones((7, 7, 1)))
    return np.clip(canvas, 0, 255).astype(np.uint8)


def _background() -> np.ndarray:
    levels = np.linspace(90.0, 250.0, GRID).repeat(CELL)
    canvas = np.full((GRID * CELL, GRID * CELL, 3), 190.0)
    canvas[:, :, 0] = levels[:, None]
    canvas[:, :, 2] = levels[None, :]
    return canvas


def _draw(rng: np.random.Generator, cell: np.ndarray, figure: Figure, settings: PictureSettings) -> None:
    size = int(rng.integers(settings.sizes[0], settings.sizes[1] + 1))
    top, left = (CELL - size) // 2 + rng.integers(-settings.shift, settings.shift + 1, 2)
    colour = np.array(COLOURS[figure.colour]) + rng.normal(0.0, settings.colour_jitter, 3)
    strength = settings.faint_strength if figure.faint else 1.0
    box = cell[top : top + size, left : left + size]
    inside, rim = _outline(figure.shape, size)
    # The rim is dark whatever the colour: without it a shape shows only against the colour around it, once lighter
    # and once darker, and the tiny vision tower does not learn shapes at all.
    painted = np.where(rim[..., None], RIM_LEVEL, colour)
    box[inside] = strength * painted[inside] + (1.0 - strength) * box[inside]


def _outline(shape: str, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Which pixels of a size x size box the shape covers, and which of them are its rim; both bool [size, size]."""
    y, x = np.mgrid[0:size, 0:size] + 0.5
    middle = size / 2
    if shape == "circle":
        depth = middle - np.hypot(x - middle, y - middle)
    elif shape == "square":
        depth = middle - np.maximum(np.abs(x - middle), np.abs(y - middle))
    else:  # a triangle standing on its base; sloping sides of gradient 2
        depth = np.minimum((y / 2 - np.abs(x - middle)) * 2 / np.sqrt(5.0), size - y)
    return depth > 0, (depth > 0) & (depth < RIM_WIDTH)


def to_png(picture: np.ndarray) -> bytes:
    """PNG bytes of a uint8 [H, W, 3] picture."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
