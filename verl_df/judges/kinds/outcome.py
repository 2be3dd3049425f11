# SPDX-License-Identifier: Apache-2.0
"""What a kind says of an answer, and the examples that each kind brings."""

from collections.abc import Callable
from dataclasses import dataclass

# Of a truth or an answer in our spelling; longer ones are equal letter by letter or not at all.
MAX_CHARACTERS = 400


@dataclass(frozen=True)
class Outcome:
    """Whether an answer is right, why, and whether it was refused because its reading is doubtful."""

    right: bool
    why: str
    doubtful: bool = False


@dataclass(frozen=True)
class Example:
    """A ground truth with answers that are right and wrong, as they stand in a box; tests and docs read them.

    `choices`: the texts of the options, where the question has any.
    """

    truth: str
    right: tuple[str, ...]
    wrong: tuple[str, ...]
    choices: tuple[str, ...] = ()


Same = Callable[[str, str], Outcome]
"""Compares a part of a truth with a part of an answer, by the kind of the part."""


def right(why: str) -> Outcome:
    return Outcome(True, why)


def wrong(why: str) -> Outcome:
    return Outcome(False, why)


def doubt(why: str) -> Outcome:
    return Outcome(False, why, True)
