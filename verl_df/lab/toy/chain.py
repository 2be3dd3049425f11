# SPDX-License-Identifier: Apache-2.0
"""The second world, "chain": one number and one direction are carried from cell to cell.

A question names a number to start with and two rows of the picture; the third row distracts. The walk goes through both
rows from the left. A triangle turns the direction, which is up at first; then the colour's value is added (up) or taken
away (down), modulo ten. An empty cell has the value 0. A response says this cell by cell, in one of two styles::

    top left shows red triangle so go down from 5 by 1 to 4
    at top left: triangle, red; move down: 5 - 1 = 4

A wrong reading early on therefore makes most of what follows wrong, although each later step is rightly derived; see
`labels.py`. Six cells take 113 or 125 tokens with the answer.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from verl_df.lab.toy.world import COLOURS, EMPTY, GRID, SHAPES, Cell, Grid

TYPE = "chain"
ROWS, COLUMNS = ("top", "middle", "bottom"), ("left", "centre", "right")
VALUES = {"red": 1, "green": 2, "blue": 3, "yellow": 4, EMPTY: 0}
TURNS, NO_SHAPE = "triangle", "cell"
UP, DOWN = "up", "down"
TEMPLATES = (
    "Start with {0}. Walk the {1} row, then the {2} row.",
    "From {0}, go through the {1} row and then the {2} row.",
    "Begin at {0}: {1} row first, {2} row next.",
)
FIELDS = ("row", "column", "colour", "shape", "direction", "before", "value", "after")
_KINDS = {"row": "place", "column": "place", "colour": "cell", "shape": "cell", "direction": "direction"}
KINDS = ("place", "cell", "direction", "number", "answer")
_WRITE = {
    "spoken": "{row} {column} shows {colour} {shape} so go {direction} from {before} by {value} to {after}",
    "sums": "at {row} {column}: {shape}, {colour}; move {direction}: {before} {sign} {value} = {after}",
}
_ANSWER = re.compile(r"\\boxed\{(?P<answer>\d)\}")


@dataclass(frozen=True)
class Field:
    """One statement of a response. `name` is of FIELDS or "answer"; `start` and `end` are characters."""

    step: int
    name: str
    said: str
    start: int
    end: int

    @property
    def kind(self) -> str:
        """What is stated, one of KINDS."""
        return "answer" if self.name == "answer" else _KINDS.get(self.name, "number")


def turned(direction: str, shape: str) -> str:
    """The direction after a cell with this shape."""
    return direction if shape != TURNS else DOWN if direction == UP else UP


def moved(before: int, direction: str, value: int) -> int:
    """The number after a step, modulo ten."""
    return (before + (value if direction == UP else -value)) % 10


@dataclass(frozen=True)
class ChainQuestion:
    """`targets`: the start, and the two rows in the order of the walk. The other members are `questions.Asked`'s."""

    targets: tuple[str, ...]
    text: str
    type: str = TYPE

    @property
    def orders(self) -> tuple[str, ...]:
        """Names of the two styles."""
        return tuple(_WRITE)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of statements."""
        return KINDS

    def cells(self, grid: Grid) -> list[list[Cell]]:
        """The walk: two rows of cells."""
        return [list(grid[ROWS.index(name)]) for name in self.targets[1:]]

    def words(self, grid: Grid) -> list[list[str]]:
        """What is to be read: "<colour> <shape>", or "empty cell"."""
        return [[_reading(cell) for cell in row] for row in self.cells(grid)]

    def write(self, words: Sequence[Sequence[str]], order: str) -> str:
        """Response that reads these words and derives the rest from them without a slip."""
        number, direction, lines = int(self.targets[0]), UP, []
        for row, read in zip(self.targets[1:], words, strict=True):
            for column, word in zip(COLUMNS, read, strict=True):
                colour, shape = word.split()
                direction = turned(direction, shape)
                before, number = number, moved(number, direction, VALUES[colour])
                lines.append(
                    _WRITE[order].format(
                        row=row,
                        column=column,
                        colour=colour,
                        shape=shape,
                        direction=direction,
                        before=before,
                        value=VALUES[colour],
                        after=number,
                        sign="+" if direction == UP else "-",
                    )  # fmt: skip
                )
        return "\n".join([*lines, f"\\boxed{{{number}}}"])

    def answer(self, grid: Grid) -> int:
        """The right answer, 0..9."""
        return int(self.write(self.words(grid), self.orders[0])[-2])

    def order_of(self, response: str) -> str | None:
        """Style of a well-formed response, or None."""
        found = parse(response)
        return found[0] if found else None

    def first_error(self, response: str, exact: str) -> str | None:
        """Kind of the first statement that is not that of the exact repair, which has the same style."""
        said, true = parse(response), parse(exact)
        assert said is not None and true is not None
        pairs = zip(said[1], true[1], strict=True)
        return next((one.kind for one, other in pairs if one.said != other.said), None)


def sample_question(rng: np.random.Generator) -> ChainQuestion:
    """Draw a question with uniform start, rows and wording."""
    rows = rng.choice(GRID, size=2, replace=False)
    targets = (str(rng.integers(10)), *(ROWS[row] for row in rows))
    return ChainQuestion(targets, TEMPLATES[rng.integers(len(TEMPLATES))].format(*targets))


def _reading(cell: Cell) -> str:
    return f"{EMPTY} {NO_SHAPE}" if cell is None else f"{cell.colour} {cell.shape}"


def _line(style: str) -> re.Pattern[str]:
    words = {
        "row": ROWS, "column": COLUMNS, "colour": (*COLOURS, EMPTY), "shape": (*SHAPES, NO_SHAPE),
        "direction": (UP, DOWN), "before": (r"\d",), "value": (r"\d",), "after": (r"\d",),
    }  # fmt: skip
    groups = {name: f"(?P<{name}>{'|'.join(choices)})" for name, choices in words.items()}
    return re.compile(_WRITE[style].format(**groups, sign="[+-]"))


_LINES = {style: _line(style) for style in _WRITE}


def parse(response: str) -> tuple[str, list[Field]] | None:
    """Style and statements, in their order in the text; None for what does not follow the layout.

    The sign of the style `sums` repeats the direction: a sign that does not is no layout.
    """
    *lines, last = response.split("\n")
    answer = _ANSWER.fullmatch(last)
    if answer is None or len(lines) != 2 * GRID:
        return None
    for style, layout in _LINES.items():
        matches = [layout.fullmatch(line) for line in lines]
        if not all(matches):
            continue
        fields, at = [], 0
        for step, match in enumerate(matches):
            assert match is not None
            if match.string != _WRITE[style].format(**match.groupdict(), sign="+" if match["direction"] == UP else "-"):
                return None
            own = [Field(step, name, match[name], at + match.start(name), at + match.end(name)) for name in FIELDS]
            fields += sorted(own, key=lambda field: field.start)
            at += len(match.string) + 1
        return style, [*fields, Field(len(lines), "answer", answer["answer"], at + answer.start(1), at + answer.end(1))]
    return None
