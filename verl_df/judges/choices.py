# SPDX-License-Identifier: Apache-2.0
"""Answers of multiple-choice questions: the letter, the option's text, or both."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

_LETTER = re.compile(
    r"(?:(?:option|choice|answer)\s*:?\s*)?(?:\(\s*([A-Z])\s*\)|([A-Z]))(?:\s*$|(?<=\))\s+|\s*[.:)]\s*)(.*)",
    re.IGNORECASE | re.DOTALL,
)
_ANOTHER = re.compile(r"(?:and|or)\b|[,/&]", re.IGNORECASE)
_TRUTH = re.compile(r"\(?([A-Z])\)?\.?")

Same = Callable[[str, str], bool]


def truth_letter(truth: str) -> str | None:
    """The letter of a ground truth that is nothing but one capital letter."""
    match = _TRUTH.fullmatch(truth.strip())
    return match[1] if match else None


def read_letter(answer: str) -> tuple[str, str] | None:
    """Letter and text of "B", "(B)", "B.", "option B", "B) 12 cm"; None where there is no letter, or more than one."""
    match = _LETTER.fullmatch(answer.strip())
    if match is None or _ANOTHER.match(match[3]):
        return None
    return (match[1] or match[2]).upper(), match[3].strip()


def read_choices(extra_info: Mapping[str, Any] | None) -> dict[str, str]:
    """The options by letter, from `extra_info["choices"]`: texts in order, or a dict by letter; {} without any.

    Raises:
        ValueError: `choices` is neither.
    """
    choices = (extra_info or {}).get("choices")
    if choices is None:
        return {}
    if isinstance(choices, Mapping):  # parquet gives every row all keys
        named = {str(letter).strip("(). ").upper(): str(text) for letter, text in choices.items() if text is not None}
    elif isinstance(choices, Iterable) and not isinstance(choices, str):
        named = {chr(ord("A") + number): str(text) for number, text in enumerate(choices)}
    else:
        raise ValueError(f"extra_info['choices'] must be a list of texts or a dict by letter, not {choices!r}")
    return {letter: _without_letter(letter, text) for letter, text in named.items()}


def right_choice(answer: str, letter: str, choices: Mapping[str, str], same: Same) -> bool:
    """Whether an answer names the option `letter`.

    The letter decides. With `choices` the text of the right option is enough, and a letter beside the text of another
    option is wrong.
    """
    named = read_letter(answer)
    if named is None:
        return _options(answer, choices, same) == {letter}
    others = _options(named[1], choices, same) - {letter}
    return named[0] == letter and not others


def _options(text: str, choices: Mapping[str, str], same: Same) -> set[str]:
    return {letter for letter, option in choices.items() if text and same(option, text)}


def _without_letter(letter: str, text: str) -> str:
    named = read_letter(text)
    return named[1] if named and named[0] == letter and named[1] else text
