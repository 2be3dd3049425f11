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

from verl_df.judges import expressions, kinds
from verl_df.judges.kinds import choice_letter
from verl_df.judges.kinds.options import (
    TOO_LONG,
    Named,
    enumerates,
    named_letter,
    options_with,
    read_choices,
    read_letter,
)
from verl_df.judges.rules.readings import marked_answer, readings
from verl_df.judges.verdict import Verdict

# A letter that stands alone: the published rule takes the first character, which is A in "A cat" and B in "Because".
_LEADING = re.compile(
    r"\s*(?:(?i:the )?(?i:correct )?(?i:option|choice|answer is)\s*:?\s*)?[(\[*]*([A-Z])(?=$|[).:,\]*\n])"
    r"(?!\W*\b(?:and|or)\b)"
)
_SIGNS = str.maketrans(dict.fromkeys(".()[],:;!*#{}", " "))
_ARTICLE = re.compile(r"(?<!\S)A(?=\s+[a-z])")
_MAX_START = 300  # of a response, where a letter at its start is looked for
_LAST_WORDS = 4  # VLMEvalKit: the letter's index is above the number of words less five


@dataclass(frozen=True)
class Found:
    """The option that a response names.

    Attributes:
        letter: of the option, None where none is named.
        text: what was read as the answer, None for nothing.
        why: the reason.
        doubtful: whether more than one option is named.
    """

    letter: str | None
    text: str | None
    why: str = ""
    doubtful: bool = False


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
    with expressions.limited_questions():
        found = find_letter(response, options)
    return Verdict(found.letter or found.text, found.letter == wanted, choice_letter.NAME, found.why, found.doubtful)


def true_letter(truth: str, options: Mapping[str, str]) -> str | None:
    """The letter of a ground truth; None for one that is neither an option's letter nor its text."""
    letter = choice_letter.read(truth)
    if letter is not None and letter.letter in options:
        return letter.letter
    return next((option for option, text in options.items() if text and text.strip() == truth.strip()), None)


def find_letter(response: str, options: Mapping[str, str]) -> Found:
    """The option that a response chooses."""
    marked = marked_answer(response)
    if marked is not None:
        named = named_in(marked, options)
        return Found(named.letter, marked or None, named.why, named.doubtful)
    for answer in readings(response):
        named = named_in(answer, options)
        if named.letter is not None or (named.doubtful and enumerates(answer, options)):
            return Found(named.letter, answer, named.why, named.doubtful)
    letter = _leading(response, options) or _lone(response, options) or _by_text(response, options)
    return Found(letter, letter, "the published rule for unmarked answers" if letter else "no option")


def named_in(answer: str, options: Mapping[str, str]) -> Named:
    """The option that an answer names by its letter, whatever text stands beside it, or by its text."""
    if len(answer) > kinds.MAX_CHARACTERS:
        return TOO_LONG
    leading = read_letter(answer)
    fitting = options_with(leading[1] if leading else answer, options, kinds.same)
    if leading is not None and leading[0] in fitting:
        return Named(leading[0], "the letter and its text")
    if leading is not None or len(fitting) != 1:
        named = named_letter(answer, options)
        return named if named.letter in (None, *options) else Named(None, "no option of this letter")
    return Named(min(fitting), "the text of the option")


def _leading(response: str, options: Mapping[str, str]) -> str | None:
    start = response[:_MAX_START]
    match = _LEADING.match(start)
    if match is None or match[1] not in options or enumerates(start.strip().partition("\n")[0], options):
        return None
    return match[1]


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
