# SPDX-License-Identifier: Apache-2.0
"""Judging by kinds: what the ground truth is decides how an answer is compared with it.

Each kind is a module: `NAME`; `read(text)`, what it recognises, None for anything else; `compare(value, answer, same)`;
`EXAMPLES`, which are its tests and its documentation. `KINDS` is the order in which they may claim a truth.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from types import ModuleType
from typing import Any

from verl_df.judges.kinds import (
    assignments,
    choice_letter,
    choice_text,
    date,
    decimal_number,
    expression,
    fraction,
    integer,
    interval,
    mixed_number,
    percentage,
    quantity,
    range_or_score,
    ratio,
    set_of_values,
    text,
    time_of_day,
    tuple_of_values,
)
from verl_df.judges.kinds.labels import values_of
from verl_df.judges.kinds.outcome import MAX_CHARACTERS, Outcome, right, wrong

KINDS: tuple[ModuleType, ...] = (
    time_of_day, date, ratio, range_or_score, percentage, integer, decimal_number, fraction, mixed_number, quantity,
    interval, assignments, tuple_of_values, set_of_values, expression, text,
)  # fmt: skip
ALL_KINDS: tuple[ModuleType, ...] = (choice_letter, choice_text, *KINDS)


@lru_cache(maxsize=4096)
def kind_of(truth: str) -> tuple[ModuleType, Any]:
    """The first kind that claims a truth in our spelling, apart from choices, and what it reads."""
    for kind in KINDS if len(truth) <= MAX_CHARACTERS else (text,):
        value = kind.read(truth)
        if value is not None:
            return kind, value
    raise AssertionError("a text is always a text")


def same(truth: str, answer: str) -> Outcome:
    """Whether two texts in our spelling mean the same, by the kind of the first, without regard to choices."""
    if not answer:
        return wrong("no answer")
    if truth == answer:
        return right("the same text")
    if max(len(truth), len(answer)) > MAX_CHARACTERS:
        return text.compare(text.read(truth), answer, same)
    kind, value = kind_of(truth)
    outcome: Outcome = kind.compare(value, answer, same)
    if not outcome.right and kind is not text and "=" not in truth:
        for inside in values_of(answer, same):
            if inside != answer:
                other: Outcome = kind.compare(value, inside, same)
                outcome = other if other.right else replace(outcome, doubtful=outcome.doubtful or other.doubtful)
                if other.right:
                    break
    return outcome


def compare(truth: str, answer: str, choices: Mapping[str, str]) -> tuple[str, Outcome]:
    """The kind that decides and its outcome, for a truth and an answer in our spelling.

    Args:
        truth: the ground truth.
        answer: a reading of the response's final answer.
        choices: the options by letter, {} where the question has none.
    """
    letter = choice_letter.read(truth)
    if letter is not None and (not choices or letter.letter in choices):
        return choice_letter.NAME, choice_letter.compare(letter, answer, same, choices)
    if choices:
        named = choice_text.read(truth, choices, same)
        if named is not None:
            return choice_text.NAME, choice_letter.compare(choice_letter.Letter(named), answer, same, choices)
    return kind_of(truth)[0].NAME, same(truth, answer)


def name_of(truth: str, choices: Mapping[str, str]) -> str:
    """The kind that decides over the answers to a truth in our spelling."""
    return compare(truth, truth, choices)[0]
