# SPDX-License-Identifier: Apache-2.0
"""The rule-based task reward r_task: is the final answer right? For mathematics, numbers with units, and choices.

Name it as verl's custom reward function: `pkg://verl_df.judges.final_answer`, `compute_score`. No model is asked and no
reasoning is read.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from verl_df.judges import expressions
from verl_df.judges.answer_text import final_answers, normalise
from verl_df.judges.choices import read_choices, right_choice, truth_letter
from verl_df.judges.quantities import read_quantity, same_unit, unit_of

# Words that belong to mathematics; a text with any other word is compared as a text (`cat` is no product of letters).
_FUNCTIONS = frozenset(
    "sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh log exp sqrt lim max min gcd lcm mod".split()
)
_COMMAND = re.compile(r"\\[A-Za-z]+")
_WORD = re.compile(r"[^\W\d_]{3,}")
_MATHEMATICAL = re.compile(r"[\d\\+*/^=<>(){}\[\]|-]|^[A-Za-z]$")
_ASSIGNMENT = re.compile(r"\s*\\?[A-Za-z]\w*(?:_\{?\w+\}?)?\s*=(?!=)(?P<value>[^=<>]+)")
_UNIT_AT_END = re.compile(r"(?:\s+|(?<=[\d})]))(?P<unit>[A-Za-z°%][^\d\\{}()\[\]=<>]*(?:\^\{?-?\d\}?)?)$")


def compute_score(
    data_source: str, solution_str: str, ground_truth: Any, extra_info: Mapping[str, Any] | None = None, **_: Any
) -> dict[str, float]:
    """verl's custom reward function: r_task in {0, 1}, by the final answer alone.

    Args:
        data_source: the row's data source (not used: the rules follow from the ground truth).
        solution_str: the decoded response; see `answer_text.final_answers` for where its answer is looked for.
        ground_truth: the right answer, or a list of accepted answers; text, LaTeX, a number, or a choice letter.
        extra_info: the row's extra information; `choices`, the options of a multiple-choice question, is used.

    Returns:
        "score" and "acc", both 0.0 or 1.0, and "parsed", 1.0 when a final answer was found at all.

    Raises:
        ValueError: an empty list of accepted answers, or `choices` of another form: a fault in the data.
        WorkerError: math-verify does not start.
    """
    truths = _accepted(ground_truth)
    choices = read_choices(extra_info)
    answers = [text for text in map(normalise, final_answers(solution_str)) if text]
    right = float(any(_right(truth, answer, choices) for answer in answers for truth in truths))
    return {"score": right, "acc": right, "parsed": float(bool(answers))}


def same_answer(truth: str, answer: str) -> bool:
    """Whether two normalised answers mean the same: as texts, as quantities, or as expressions.

    Units are compared, not converted; one of the two may leave its unit out, and the left side of `x = 5`.
    """
    mathematical = is_mathematical(truth) and is_mathematical(answer)
    if _plain(truth, keep_case=mathematical) == _plain(answer, keep_case=mathematical):
        return True
    if max(len(truth), len(answer)) > expressions.MAX_CHARACTERS:
        return False
    if (_ASSIGNMENT.fullmatch(truth) is None) != (_ASSIGNMENT.fullmatch(answer) is None):
        truth, answer = _assigned(truth), _assigned(answer)
    left, right = read_quantity(truth), read_quantity(answer)
    if left is not None and right is not None:
        return left.equals(right)
    (truth, unit), (answer, other_unit) = _without_units(truth, answer)
    if not (same_unit(unit, other_unit) and is_mathematical(truth) and is_mathematical(answer)):
        return False
    return expressions.equal(truth, answer)


def is_mathematical(text: str) -> bool:
    """Whether a text can be an expression: digits, operators, commands or one letter, and no word of a language."""
    words = _WORD.findall(_COMMAND.sub(" ", text))
    return bool(_MATHEMATICAL.search(text)) and all(word.casefold() in _FUNCTIONS for word in words)


def _accepted(ground_truth: Any) -> list[str]:
    many = isinstance(ground_truth, Iterable) and not isinstance(ground_truth, str | bytes | Mapping)
    truths = [_truth_text(str(truth)) for truth in (ground_truth if many else [ground_truth])]
    if not truths:
        raise ValueError("ground_truth is an empty list: give at least one accepted answer")
    return truths


def _truth_text(text: str) -> str:
    answers = final_answers(text) if "\\boxed" in text else []
    return normalise(answers[0] if answers else text)


def _right(truth: str, answer: str, choices: Mapping[str, str]) -> bool:
    letter = truth_letter(truth)
    if choices and letter not in choices:
        named = [option for option, text in choices.items() if same_answer(truth, normalise(text))]
        letter = named[0] if len(named) == 1 else None
    if letter is None:
        return same_answer(truth, answer)
    options = {option: normalise(text) for option, text in choices.items()}
    return right_choice(answer, letter, options, same_answer)


def _plain(text: str, keep_case: bool) -> str:
    joined = re.sub(r"\s+", "" if keep_case else " ", text)
    return joined if keep_case else joined.casefold().strip("\"'*_ ")


def _assigned(text: str) -> str:
    match = _ASSIGNMENT.fullmatch(text)
    return match["value"].strip() if match else text


def _without_units(*texts: str) -> list[tuple[str, str]]:
    """Expression and unit of each; a single letter (m) is a unit where another text has one, else a variable."""
    split = [_without_unit(text, letters=False) for text in texts]
    return [_without_unit(text, letters=True) for text in texts] if any(unit for _, unit in split) else split


def _without_unit(text: str, letters: bool) -> tuple[str, str]:
    match = _UNIT_AT_END.search(text)
    if match is None or (not letters and re.fullmatch("[A-Za-z]", match["unit"])):
        return text, ""
    unit = unit_of(match["unit"], known_only=True)
    return (text, "") if unit is None else (text[: match.start()].strip(), unit)
