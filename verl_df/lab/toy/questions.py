# SPDX-License-Identifier: Apache-2.0
"""What a question of either world can do, and which one a row has."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from verl_df.lab.toy import chain, text
from verl_df.lab.toy.world import Cell, Grid

KINDS = ("count", "chain")


class Asked(Protocol):
    """A question. A response to it follows one of its `orders`, which fixes every token but the facts."""

    @property
    def type(self) -> str:
        """A name that tells the world."""

    @property
    def targets(self) -> tuple[str, ...]:
        """What it asks for."""

    @property
    def text(self) -> str:
        """Its wording."""

    @property
    def orders(self) -> tuple[str, ...]:
        """Ways in which a right response may be written."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of statements that a response makes."""

    def cells(self, grid: Grid) -> Sequence[Sequence[Cell]]:
        """Cells that a response speaks of."""

    def words(self, grid: Grid) -> list[list[str]]:
        """What is to be read in them."""

    def write(self, words: list[list[str]], order: str) -> str:
        """Response that reads `words` and goes on without a slip."""

    def answer(self, grid: Grid) -> int:
        """The right answer, 0..9."""

    def order_of(self, response: str) -> str | None:
        """The order of a well-formed response, or None."""

    def first_error(self, response: str, exact: str) -> str | None:
        """Kind of the first false statement."""


def sample(kind: str, rng: np.random.Generator) -> Asked:
    """Draw a question of a world, one of KINDS."""
    return chain.sample_question(rng) if kind == "chain" else text.sample_question(rng)


def question_of(extra_info: Mapping[str, Any]) -> Asked:
    """The question kept in a row's `extra_info`.

    Raises:
        ValueError: if a key is missing or the type is unknown.
    """
    missing = [key for key in ("question_type", "targets", "question", "grid") if key not in extra_info]
    if missing:
        raise ValueError(f"extra_info lacks {missing}; use rows written by `verl-df toy data`")
    kind, types = str(extra_info["question_type"]), (*text.QUESTION_TYPES, chain.TYPE)
    if kind not in types:
        raise ValueError(f"extra_info['question_type'] is {extra_info['question_type']!r}, not one of {types}")
    targets = tuple(str(word) for word in extra_info["targets"])
    wording = str(extra_info["question"])
    return chain.ChainQuestion(targets, wording) if kind == chain.TYPE else text.Question(kind, targets, wording)
