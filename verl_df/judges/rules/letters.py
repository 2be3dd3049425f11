# SPDX-License-Identifier: Apache-2.0
"""From a response to the letter of an option, and from an option to its text.

The order is our reading, for responses of any length: a marked answer, the words after "answer is", then the rules that
are published for MMStar (a letter at the start) and in VLMEvalKit (`can_infer`: one lone letter at the end, or the text
of one option). Nothing is drawn at random: a response without a letter has no answer and counts as wrong.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from verl_df.judges.choices import read_choices, read_letter, truth_letter
from verl_df.judges.final_answer import same_answer
from verl_df.judges.rules.verdict import Verdict, marked_answer, readings, spelled

# A letter that stands alone: the published rule takes the first character, which is A in "A cat" and B in "Because".
_LEADING = re.compile(
    r"\s*(?:(?i:the )?(?i:correct )?(?i:option|choice|answer is)\s*:?\s*)?[(\[*]*([A-Z])(?=$|[).:,\]*\n])"
    r"(?!\W*\b(?:and|or)\b)"
)
_SIGNS = str.maketrans(dict.fromkeys(".()[],:;!*#{}", " "))
_ARTICLE = re.compile(r"(?<!\S)A(?=\s+[a-z])")
_LAST_WORDS = 4  # VLMEvalKit: the letter's index is above the number of words less five


@dataclass(frozen=True)
class Found:
    """The option that a response names.

    Attributes:
        letter: of the option, None where none is named.
        text: what was read as the answer, None for nothing.
    """

    letter: str | None
    text: str | None


def options_of(extra_info: Mapping[str, Any], letters: str = "ABCD") -> dict[str, str]:
    """The options by letter; texts are empty, and the letters `letters`, where the row does not list them."""
    return read_choices(extra_info) or dict.fromkeys(letters, "")


def judge_choice(response: str, truth: str, extra_info: Mapping[str, Any], letters: str = "ABCD") -> Verdict:
    """Verdict of a multiple-choice question whose ground truth is a letter, or the text of an option.

    Raises:
        ValueError: the ground truth is neither.
    """
    options = options_of(extra_info, letters)
    wanted = true_letter(truth, options)
    if wanted is None:
        raise ValueError(f"the ground truth {truth!r} is none of the options {options}")
    found = find_letter(response, options)
    return Verdict(found.letter or found.text, found.letter == wanted)


def true_letter(truth: str, options: Mapping[str, str]) -> str | None:
    """The letter of a ground truth; None for one that is neither an option's letter nor its text."""
    letter = truth_letter(truth)
    if letter in options:
        return letter
    return next((option for option, text in options.items() if text and text.strip() == truth.strip()), None)


def find_letter(response: str, options: Mapping[str, str]) -> Found:
    """The option that a response chooses."""
    marked = marked_answer(response)
    if marked is not None:
        return Found(letter_of(marked, options), marked or None)
    for answer in readings(response):
        letter = letter_of(answer, options)
        if letter is not None:
            return Found(letter, answer)
    letter = _leading(response, options) or _lone(response, options) or _by_text(response, options)
    return Found(letter, letter)


def letter_of(answer: str, options: Mapping[str, str]) -> str | None:
    """The option that an answer names by its letter, whatever stands beside it, or by its text; None for no option."""
    named = read_letter(answer)
    if named is not None:
        return named[0] if named[0] in options else None
    same = [letter for letter, option in options.items() if option and answer and same_answer(spelled(option), answer)]
    return same[0] if len(same) == 1 else None


def _leading(response: str, options: Mapping[str, str]) -> str | None:
    match = _LEADING.match(response)
    return match[1] if match and match[1] in options else None


def _lone(response: str, options: Mapping[str, str]) -> str | None:
    words = response.translate(_SIGNS).split()
    named = [letter for letter in options if letter in words]
    if len(named) != 1 or (named == ["A"] and _ARTICLE.search(response)):
        return None
    return named[0] if words.index(named[0]) >= len(words) - _LAST_WORDS else None


def _by_text(response: str, options: Mapping[str, str]) -> str | None:
    if len(response) > 2 * sum(map(len, options.values())):
        return None
    named = [letter for letter, text in options.items() if text and _stands_in(text, response)]
    return named[0] if len(named) == 1 else None


def _stands_in(text: str, response: str) -> bool:
    """Whether a text is in a response and no part of a longer word, number or expression (2 in 2√3)."""
    alone = rf"(?<![\w√\\/.^-]){re.escape(text)}(?![\w√\\/^]|\.\d)"
    return re.search(alone, response, re.IGNORECASE) is not None
