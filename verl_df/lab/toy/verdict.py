# SPDX-License-Identifier: Apache-2.0
"""What one response of the toy world got right and wrong."""

from dataclasses import dataclass

from verl_df.lab.toy.data import Example
from verl_df.lab.toy.reward import boxed_answer
from verl_df.lab.toy.truth import exact_repair


@dataclass(frozen=True)
class Verdict:
    """Judgement of a response.

    Attributes:
        right: the boxed answer is right (reward 1).
        exact: the exact repair y*; None when the response is not well-formed.
        first_error: kind of the first false statement, one of the question's `kinds`; None when nothing is false or
            the response is not well-formed.
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
    return Verdict(right, exact, example.question.first_error(response, exact))
