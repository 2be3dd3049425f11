# SPDX-License-Identifier: Apache-2.0
"""MMMU: a letter, or a short open answer.

Source: MMMU's eval_utils.py (parse_multi_choice_response, parse_open_response, eval_open). Where we differ: a marked
answer (`\\boxed{}`, `<answer>`) is read first, for the rule knows no such marks; a letter must stand alone ("DNA " is
no A, nor is the article in "A cat"); and a response without any letter has no answer, where the rule draws one.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from verl_df.judges.answer_text import final_answers
from verl_df.judges.final_answer import same_answer
from verl_df.judges.rules.letters import letter_of, options_of, true_letter
from verl_df.judges.rules.verdict import Verdict, field, marked_answer, spelled

_INDICATORS = ("could be ", "so ", "is ", "thus ", "therefore ", "final ", "answer ", "result ")
_ENDS = ",.!?;:'"
_TRIVIAL = frozenset(":,.!?;'")
_NUMBERS = (
    re.compile(r"-?\b\d{1,3}(?:,\d{3})+\b"),
    re.compile(r"-?\d+(?:\.\d+)?[eE][+-]?\d+"),
    re.compile(r"-?(?:\d+\.\d+|\.\d+|\d+\b)(?![eE][+-]?\d+)(?![,\d])"),
)
_WORDS_FOR_TEXT = 5  # an option's text is looked for in responses of more words


def judge(response: str, truth: str, extra_info: Mapping[str, Any]) -> Verdict:
    """Verdict by `question_type`. Raises: ValueError where it is missing, or the truth is none of the options."""
    if field(extra_info, "question_type", "MMMU") == "multiple-choice":
        return _choice(response, truth, extra_info)
    truths = [str(answer) for answer in extra_info.get("answers") or [truth]]
    marked = marked_answer(response)
    found = open_answers(response if marked is None else marked)
    right = any(_matches(answer, truths) for answer in found)
    if marked and not right:
        right = any(same_answer(spelled(one), marked) for one in truths)
    return Verdict((marked or None) if marked is not None else _shown(found), right)


def choose(response: str, options: Mapping[str, str]) -> str | None:
    """The published rule for options: the last "(B)", else the last lone B, else the last "B.", else, in a response of
    more than five words, the option whose text comes last.
    """
    text = f" {response.strip().strip(_ENDS)} "
    letters = "".join(options)
    article = r"(?!A\s+[a-z])"
    for pattern in (rf"\(([{letters}])\)", rf"(?<=\s){article}([{letters}])(?=\s)", rf"(?<![A-Za-z])([{letters}])\."):
        found = re.findall(pattern, text)
        if found:
            return found[-1]
    if len(text.split()) <= _WORDS_FOR_TEXT:
        return None
    places = {letter: text.lower().rfind(option.lower()) for letter, option in options.items() if option}
    last = max(places, key=places.__getitem__, default=None)
    return last if last is not None and places[last] >= 0 else None


def open_answers(response: str) -> list[str | float]:
    """The published rule for open answers: of each line the shortest end behind a word such as "is", its numbers."""
    lines = response.strip().strip(".").lower().splitlines()
    keys = [key for number, line in enumerate(lines) if (key := _key(line, last=number == len(lines) - 1))]
    keys = keys or [response.strip().strip(".").lower()]
    numbers = [number for key in keys for pattern in _NUMBERS for number in pattern.findall(key)]
    return list(dict.fromkeys(form for text in [*keys, *numbers] for form in _forms(text)))


def _choice(response: str, truth: str, extra_info: Mapping[str, Any]) -> Verdict:
    options = options_of(extra_info)
    wanted = true_letter(truth, options)
    if wanted is None:
        raise ValueError(f"the ground truth {truth!r} is none of the options {options}")
    marked = marked_answer(response)
    if marked is not None:
        letter = letter_of(marked, options)
        return Verdict(letter or marked or None, letter == wanted)
    named = [letter_of(spelled(text), options) for text in final_answers(response)]
    letter = next((letter for letter in named if letter), None) or choose(response, options)
    return Verdict(letter, letter == wanted)


def _key(line: str, last: bool) -> str | None:
    marks = [mark for mark in (*_INDICATORS, "=") if mark in line and (last or mark != "=")]
    ends = [line.split(mark)[-1].strip() for mark in marks]
    shortest = min(ends, key=len, default="")
    return shortest if shortest and shortest not in _TRIVIAL else None


def _forms(text: str) -> list[str | float]:
    """A number rounded to 2 decimals, or a text in lower case; of one letter only beside a space."""
    text = text.strip()
    try:
        return [round(float(text.replace(",", "")), 2)]
    except ValueError:
        return [f" {text.lower()}", f"{text.lower()} "] if len(text) == 1 else [text.lower()]


def _matches(answer: str | float, truths: Sequence[str]) -> bool:
    forms = [form for truth in truths for form in _forms(truth)]
    if isinstance(answer, str):
        return any(isinstance(form, str) and form in answer for form in forms)
    return answer in [form for form in forms if not isinstance(form, str)]


def _shown(found: Sequence[str | float]) -> str | None:
    texts = [answer for answer in found if isinstance(answer, str) and answer.strip()]
    return texts[0] if texts else (f"{found[0]:g}" if found and not isinstance(found[0], str) else None)
