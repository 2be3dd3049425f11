# SPDX-License-Identifier: Apache-2.0
"""MMMU: a letter, or a short open answer.

Source: MMMU's eval_utils.py (parse_multi_choice_response, parse_open_response, eval_open). Where we differ: a marked
answer (`\\boxed{}`, `<answer>`) is read first, for the rule knows no such marks; a letter must stand alone ("DNA " is
no A, nor is the article in "A cat"); a response without any letter has no answer, where the rule draws one; a number
with an exponent (10^5) is no 10; and a marked open answer is compared by the kind of the ground truth first.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import re2

from verl_df.judges import expressions, kinds
from verl_df.judges.kinds import choice_letter
from verl_df.judges.kinds.quantities import read_quantities
from verl_df.judges.reading import final_answers
from verl_df.judges.rules.letters import named_in, options_of, true_letter
from verl_df.judges.rules.readings import field, marked_answer
from verl_df.judges.spelling import spelled
from verl_df.judges.verdict import Verdict

_INDICATORS = ("could be ", "so ", "is ", "thus ", "therefore ", "final ", "answer ", "result ")
_ENDS = ",.!?;:'"
_TRIVIAL = frozenset(":,.!?;'")
_NUMBERS = (
    re.compile(r"-?\b\d{1,3}(?:,\d{3})+\b"),
    re.compile(r"-?\d+(?:\.\d+)?[eE][+-]?\d+"),
    re.compile(r"-?(?:\d+\.\d+|\.\d+|\d+\b)(?![eE][+-]?\d+)(?![,\d])"),
)
_MINUS = str.maketrans(dict.fromkeys("−–‐‑－", "-"))
# No answer; without them the patterns above, which are the published ones, take linear time.
_ENDLESS = re2.compile(r"\d{61,}")
_WORDS_FOR_TEXT = 5  # an option's text is looked for in responses of more words


def judge(response: str, truth: str, extra_info: Mapping[str, Any]) -> Verdict:
    """Verdict by `question_type`. Raises: ValueError where it is missing, or the truth is none of the options."""
    if field(extra_info, "question_type", "MMMU") == "multiple-choice":
        return _choice(response, truth, extra_info)
    truths = [str(answer) for answer in extra_info.get("answers") or [truth]]
    marked = marked_answer(response)
    if marked is None:
        found = open_answers(response)
        return Verdict(_shown(found), any(_matches(answer, truths) for answer in found), why="the published rule")
    with expressions.limited_questions():
        return _marked(marked, truths)


def _marked(answer: str, truths: Sequence[str]) -> Verdict:
    """By kind; then as published: rounded to 2 decimals, or a text that holds the right one."""
    outcomes = [(kinds.kind_of(spelled(truth))[0].NAME, kinds.same(spelled(truth), answer)) for truth in truths]
    right = next(((kind, outcome) for kind, outcome in outcomes if outcome.right), None)
    if right is not None or not answer:
        kind, outcome = right or outcomes[0]
        return Verdict(answer or None, outcome.right, kind, outcome.why)
    numbers = [float(one.number.value) for one in read_quantities(answer) if one.bare and not one.shortened]
    texts = [truth for truth, (kind, _) in zip(truths, outcomes, strict=True) if kind == kinds.text.NAME]
    forms = [round(number, 2) for number in numbers] + [
        form for form in _forms(answer.lower()) if isinstance(form, str)
    ]
    published = any(_matches(form, truths if isinstance(form, float) else texts) for form in forms)
    kind, outcome = outcomes[0]
    return Verdict(answer, published, kind, "the published rule" if published else outcome.why, outcome.doubtful)


def choose(response: str, options: Mapping[str, str]) -> str | None:
    """The published rule for options: the last "(B)", else the last lone B, else the last "B.", else, in a response of
    more than five words, the option whose text comes last.
    """
    text = f" {response.strip().strip(_ENDS)} "
    letters = "".join(options)
    words = text.split()
    alone = [
        word
        for word, after in zip(words, [*words[1:], ""], strict=False)
        if word in options and not (word == "A" and after[:1].islower())
    ]
    for found in (
        re2.findall(rf"\(([{letters}])\)", text),
        alone,
        re2.findall(rf"(?:^|[^A-Za-z])([{letters}])\.", text),
    ):
        if found:
            return found[-1]
    if len(text.split()) <= _WORDS_FOR_TEXT:
        return None
    places = {letter: text.lower().rfind(option.lower()) for letter, option in options.items() if option}
    last = max(places, key=places.__getitem__, default=None)
    return last if last is not None and places[last] >= 0 else None


def open_answers(response: str) -> list[str | float]:
    """The published rule for open answers: of each line the shortest end behind a word such as "is", its numbers."""
    response = _ENDLESS.sub(" ", response.translate(_MINUS))
    lines = response.strip().strip(".").lower().splitlines()
    keys = [key for number, line in enumerate(lines) if (key := _key(line, last=number == len(lines) - 1))]
    keys = keys or [response.strip().strip(".").lower()]
    plain = [_without_powers(key) for key in keys]
    numbers = [number for key in plain for pattern in _NUMBERS for number in pattern.findall(key)]
    return list(dict.fromkeys(form for text in [*keys, *numbers] for form in _forms(text)))


def _choice(response: str, truth: str, extra_info: Mapping[str, Any]) -> Verdict:
    options = options_of(extra_info)
    wanted = true_letter(truth, options)
    if wanted is None:
        raise ValueError(f"the ground truth {truth!r} is none of the options {options}")
    marked = marked_answer(response)
    with expressions.limited_questions():
        if marked is not None:
            named = named_in(marked, options)
            shown = named.letter or marked or None
            return Verdict(shown, named.letter == wanted, choice_letter.NAME, named.why, named.doubtful)
        announced = [named_in(spelled(text), options).letter for text in final_answers(response)]
    letter = next((letter for letter in announced if letter), None) or choose(response, options)
    return Verdict(letter, letter == wanted, choice_letter.NAME, "the published rule for unmarked answers")


def _without_powers(text: str) -> str:
    return " ".join(word for word in text.split() if "^" not in word)


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
