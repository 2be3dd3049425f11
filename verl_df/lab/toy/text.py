# SPDX-License-Identifier: Apache-2.0
"""Questions about a grid, and the responses' fixed layout.

A response names what is seen in each row, stars what the question asks for, adds the row's count to a running total,
and ends with the answer::

    top: red* blue empty +1 =1
    middle: red* red* green +2 =3
    bottom: empty empty blue +0 =3
    \\boxed{3}

The stars make counting learnable in minutes: each compares one word with the question, where a count would compare
three at once.

The rows come in one of two orders, downwards or upwards. The order is free, so a correct sibling in the other order
states the same facts in another sequence with other totals: it has to be read, it cannot just be copied.
"""

import re
from dataclasses import dataclass

import numpy as np

from verl_df.lab.toy.world import COLOURS, EMPTY, SHAPES, Cell, Grid

ROW_LABELS = ("top", "middle", "bottom")
ORDERS = {"down": (0, 1, 2), "up": (2, 1, 0)}
CELL_WORDS = (*COLOURS, *SHAPES, EMPTY)
STAR = "*"
KINDS = ("cell", "count", "total", "answer")

# Several wordings a type: prompts of one batch differ in length, as real ones do. A target is always the very word the
# response uses for it, so that counting needs no vocabulary beyond the cell words.
TEMPLATES = {
    "colour": ("How many figures are {0}?", "Count the {0} figures.", "How many {0} figures are in the picture?"),
    "shape": ("How many cells show a {0}?", "Count the cells with a {0}.", "In how many cells is there a {0}?"),
    "either": ("How many figures are {0} or {1}?", "Count the figures that are {0} or {1}."),
    "rows_colour": ("How many rows have a {0} figure?", "In how many rows is there a {0} figure?"),
    "rows_shape": ("How many rows have a {0}?", "In how many rows is there a {0}?"),
}
QUESTION_TYPES = tuple(TEMPLATES)


@dataclass(frozen=True)
class Question:
    """A question: its type (a key of TEMPLATES), the cell words it asks for, and its wording."""

    type: str
    targets: tuple[str, ...]
    text: str

    @property
    def asks_shape(self) -> bool:
        """Whether responses name shapes (True) or colours (False)."""
        return self.type in ("shape", "rows_shape")

    @property
    def counts_rows(self) -> bool:
        """Whether a row counts once, however many of its cells match."""
        return self.type.startswith("rows_")

    @property
    def orders(self) -> tuple[str, ...]:
        """Names of the row orders."""
        return tuple(ORDERS)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of statements."""
        return KINDS

    def cells(self, grid: Grid) -> Grid:
        """All cells."""
        return grid

    def words(self, grid: Grid) -> list[list[str]]:
        """See `words_of`."""
        return words_of(grid, self)

    def write(self, words: list[list[str]], order: str) -> str:
        """See `write_response`."""
        return write_response(words, self, order)

    def answer(self, grid: Grid) -> int:
        """See `answer`."""
        return answer(grid, self)

    def order_of(self, response: str) -> str | None:
        """See `response_order`."""
        return response_order(response)

    def first_error(self, response: str, exact: str) -> str | None:
        """Kind of the first word that is not that of the exact repair: the layout is one, so the words correspond."""
        pairs = zip(response.split(), exact.split(), strict=True)
        return next((_kind(word) for word, true in pairs if word != true), None)


def _kind(statement: str) -> str:
    if statement.removesuffix(STAR) in CELL_WORDS:
        return "cell"
    return {"+": "count", "=": "total", "\\": "answer"}[statement[0]]


def sample_question(rng: np.random.Generator) -> Question:
    """Draw a question with uniform type, targets and wording."""
    kind = QUESTION_TYPES[rng.integers(len(QUESTION_TYPES))]
    targets = _sample_targets(rng, kind)
    wording = TEMPLATES[kind][rng.integers(len(TEMPLATES[kind]))]
    return Question(kind, targets, wording.format(*targets))


def _sample_targets(rng: np.random.Generator, kind: str) -> tuple[str, ...]:
    words = SHAPES if kind in ("shape", "rows_shape") else tuple(COLOURS)
    chosen = rng.choice(len(words), size=2 if kind == "either" else 1, replace=False)
    return tuple(words[i] for i in chosen)


def cell_word(cell: Cell, asks_shape: bool) -> str:
    """The word a right response uses for a cell."""
    if cell is None:
        return EMPTY
    return cell.shape if asks_shape else cell.colour


def words_of(grid: Grid, question: Question) -> list[list[str]]:
    """The right cell words, row by row from the top."""
    return [[cell_word(cell, question.asks_shape) for cell in row] for row in grid]


def row_count(words: list[str], question: Question) -> int:
    """What one row adds to the total."""
    matches = sum(word in question.targets for word in words)
    return min(matches, 1) if question.counts_rows else matches


def answer(grid: Grid, question: Question) -> int:
    """The right answer, 0..9."""
    return sum(row_count(words, question) for words in words_of(grid, question))


def write_response(words: list[list[str]], question: Question, order: str) -> str:
    """Response that names `words` (rows from the top) and counts them without a slip, in the given row order."""
    total, lines = 0, []
    for row in ORDERS[order]:
        count = row_count(words[row], question)
        total += count
        named = " ".join(word + STAR if word in question.targets else word for word in words[row])
        lines.append(f"{ROW_LABELS[row]}: {named} +{count} ={total}")
    return "\n".join([*lines, boxed(str(total))])


def boxed(value: str) -> str:
    """The final-answer form."""
    return f"\\boxed{{{value}}}"


_WORD = rf"(?:{'|'.join(CELL_WORDS)})\*?"
_LINE = rf"{{}}: {_WORD}(?: {_WORD}){{{{2}}}} \+\d =\d"
_LAYOUTS = {
    order: re.compile("\n".join(_LINE.format(ROW_LABELS[row]) for row in rows) + r"\n\\boxed\{\d\}")
    for order, rows in ORDERS.items()
}


def response_order(response: str) -> str | None:
    """Row order of a well-formed response ("down" or "up"); None when it does not follow the layout."""
    for order, layout in _LAYOUTS.items():
        if layout.fullmatch(response):
            return order
    return None
