# SPDX-License-Identifier: Apache-2.0
"""Which option of a question an answer names: by its letter, by its text, or by both."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from verl_df.judges.kinds.outcome import MAX_CHARACTERS, Same
from verl_df.judges.spelling import spelled

LETTERS = "ABCDEFGH"  # where the options are not known
_MAX_PIECES = 8
_LEADING = re.compile(
    r"(?i:(?:the )?(?:correct |right |best )?(?:option|choice|answer)(?: is)?\s*:?\s*)?"
    r"(?:[(\[]\s*(?P<in_brackets>[A-Za-z])\s*[)\]]|(?P<alone>[A-Za-z]))(?:\s*$|\s*[.:)]\s*|\s+-\s+|(?<=[)\]])\s*)(?P<rest>.*)",
    re.DOTALL,
)
# A capital that stands alone, but for an article (A cat), a unit (5 A) and a name (A = 5).
_CAPITAL = re.compile(r"(?<![A-Za-z\d\\'])(?<!\d )(?!A\s+(?!(?:or|and|nor)\b)[a-z]{2})([A-Z])(?![A-Za-z\d'])")
_SMALL = re.compile(r"\(([a-z])\)|(?<![A-Za-z\\])([a-z])(?=[).:](?:\s|$))")
_ONLY_LETTERS = re.compile(
    r"(?:[\W_]|\b(?:or|and|nor|either|both|maybe|possibly|not|option|[A-Za-z])\b)*", re.IGNORECASE
)
_LABEL = re.compile(r"\(([A-Z])\)|(?<![A-Za-z])([A-Z])(?=[.):](?:\s|$))")
_LETTER = re.compile(r"\b[A-Za-z]\b")
_BETWEEN = re.compile(r"\s*(?:[,;/|&+]|\b(?:or|and|nor|not)\b)\s*")


@dataclass(frozen=True)
class Named:
    """letter: of the option, None for none. why, doubtful: as of an `Outcome`."""

    letter: str | None
    why: str
    doubtful: bool = False


TOO_LONG = Named(None, "too long for an answer")


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


def read_letter(answer: str) -> tuple[str, str] | None:
    """Letter and further text of "B", "(B)", "B.", "option B", "B) 12 cm"; None where no letter comes first."""
    match = _LEADING.fullmatch(answer.strip())
    return ((match["in_brackets"] or match["alone"]).upper(), match["rest"].strip()) if match else None


def letters_in(text: str, letters: Iterable[str] = LETTERS) -> set[str]:
    """The letters of options that a text names, apart from articles, units and words."""
    known = set(letters)
    found = {match[1] for match in _CAPITAL.finditer(text)}
    found |= {(match[1] or match[2]).upper() for match in _SMALL.finditer(text)}
    if _ONLY_LETTERS.fullmatch(text):
        found |= {match[0].upper() for match in _LETTER.finditer(text)}
    return found & known


def enumerates(text: str, letters: Iterable[str] = LETTERS) -> bool:
    """Whether a text lists options, (B) 4 cm or (C) 5 cm, rather than speaks of others beside its answer."""
    if len(text) > MAX_CHARACTERS or len(letters_in(text, letters)) < 2:
        return False
    labels = {match[1] or match[2] for match in _LABEL.finditer(text)}
    return _ONLY_LETTERS.fullmatch(text) is not None or len(labels & set(letters)) > 1


def named_letter(answer: str, letters: Iterable[str] = LETTERS) -> Named:
    """The option that an answer names by its letter, whatever its text; none where it names more than one."""
    if len(answer) > MAX_CHARACTERS:
        return TOO_LONG
    leading = read_letter(answer)
    if leading is None:
        several = len(letters_in(answer, letters)) > 1
        return Named(None, "several options" if several else "no letter", several)
    if letters_in(leading[1], letters) - {leading[0]}:
        return Named(None, "several options", True)
    return Named(leading[0], "the letter")


def named_option(answer: str, options: Mapping[str, str], same: Same) -> Named:
    """The option that an answer names by its letter, its text, or both.

    A letter with its own text is that option, whatever the others say. More than one option is none; so is a letter
    beside the text of another option.
    """
    if len(answer) > MAX_CHARACTERS:
        return TOO_LONG
    known, leading = {*LETTERS, *options}, read_letter(answer)
    if leading is None or (leading[0] not in options and not leading[1]):
        fitting = options_with(answer, options, same)
        if len(fitting) == 1:
            return Named(min(fitting), "the text of the option")
        several = len(fitting) > 1 or len(letters_in(answer, known)) > 1
        return Named(None, "several options" if several else "no option", several)
    letter, text = leading
    if letter not in options:
        return Named(None, "no option of this letter")
    fitting = options_with(text, options, same) if text else set()
    if letter in fitting or not text:
        return Named(letter, "the letter and its text" if text else "the letter")
    if fitting:
        return Named(None, "the letter of one option and the text of another")
    pieces = _BETWEEN.split(text)
    if len(pieces) > _MAX_PIECES or letters_in(text, known) - {letter}:
        return Named(None, "several options", True)
    named = {one for piece in pieces if len(pieces) > 1 for one in options_with(piece, options, same)}
    return Named(None, "several options", True) if named - {letter} else Named(letter, "the letter")


def options_with(text: str, options: Mapping[str, str], same: Same) -> set[str]:
    """The options whose text is this one: letter by letter, else without regard to capitals, else by their kinds."""
    if not text:
        return set()
    plain = {letter: spelled(option) for letter, option in options.items() if option}
    for form in (_packed, lambda given: _packed(given).casefold()):
        fitting = {letter for letter, option in plain.items() if form(option) == form(text)}
        if fitting:
            return fitting
    return {letter for letter, option in plain.items() if same(option, text).right}


def _packed(text: str) -> str:
    return re.sub(r"\s+", " ", text)


def _without_letter(letter: str, text: str) -> str:
    named = read_letter(text)
    return named[1] if named and named[0] == letter and named[1] else text
