# SPDX-License-Identifier: Apache-2.0
"""What one response of the toy world got right and wrong."""

from dataclasses import dataclass

from verl_df.lab.toy.data import Example
from verl_df.lab.toy.reward import boxed_answer
from verl_df.lab.toy.text import CELL_WORDS, STAR
from verl_df.lab.toy.truth import exact_repair

ERROR_KINDS = ("cell", "count", "total", "answer")


@dataclass(frozen=True)
class Verdict:
    """Judgement of a response.

    Attributes:
        right: the boxed answer is right (reward 1).
        exact: the exact repair y*; None when the response is not well-formed.
        first_error: kind of the first false statement (one of ERROR_KINDS); None when nothing is false or the
            response is not well-formed.
    """

    right: bool
    exact: str | None
    first_error: str | None

    @property
    def well_formed(self) -> bool:
        """Whether the response follows the layout."""
        return self.exact is not None


def judge(example: Example, response: str) -> Verdict:
    """Judge a decoded response to an example."""
    right = boxed_answer(response) == example.answer()
    exact = exact_repair(response, example.extra_info())
    if exact is None:
        return Verdict(right, None, None)
    # both follow the same layout, so their words correspond
    wrong = [word for word, true in zip(response.split(), exact.split(), strict=True) if word != true]
    return Verdict(right, exact, _kind(wrong[0]) if wrong else None)


def _kind(statement: str) -> str:
    if statement.removesuffix(STAR) in CELL_WORDS:
        return "cell"
    return {"+": "count", "=": "total", "\\": "answer"}[statement[0]]
