# SPDX-License-Identifier: Apache-2.0
"""MathVista: an answer of the type that the question asks for.

Source: MathVista's extract_answer.py and calculate_score.py: a language model extracts the answer; whole numbers are
cut (14.7 is 14), others rounded to the question's precision, and a choice is the option whose text is nearest by
Levenshtein distance. Our reading for the extraction without a model: `verdict.readings`, and the only number of a
sentence. `score` with lmms-eval has a model extract.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from rapidfuzz.distance import Levenshtein

from verl_df.judges import expressions, kinds
from verl_df.judges.kinds import choice_letter
from verl_df.judges.kinds.expression import is_mathematical
from verl_df.judges.kinds.labels import values_of
from verl_df.judges.kinds.quantities import read_quantities
from verl_df.judges.reading import final_answers
from verl_df.judges.rules.letters import find_letter, options_of, true_letter
from verl_df.judges.rules.readings import field, marked_answer, readings
from verl_df.judges.spelling import spelled
from verl_df.judges.verdict import Verdict

_NUMBER = re.compile(r"(?<![\w.])-?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+|(?<=\d))(?![\w]|\.\d)")

# Words before a number that make it a bound.
_BOUND = re.compile(
    r"(?i)\b(?:than|least|most|over|under|above|below|up to|almost|nearly|not|except)\s+\W*\d|[<>]|\\[lg]e\b"
)
_MAX_LINE = 1000  # of a line whose only number is looked for; longer ones hold more
_LARGEST = 10**15  # no answer is as large; larger ones have no exact float


def judge(response: str, truth: str, extra_info: Mapping[str, Any]) -> Verdict:
    """Verdict by `question_type`, `answer_type` and `precision`.

    Numbers are compared as numbers; the script compares texts, so that for it 0.4 is not the answer 0.40.

    Raises:
        ValueError: one of these is missing, or the ground truth is not of its type.
    """
    if field(extra_info, "question_type", "MathVista") == "multi_choice":
        return _choice(response, truth, extra_info)
    kind = field(extra_info, "answer_type", "MathVista")
    if kind == "list":
        answers = readings(response)
        right = any(_packed(answer) == _packed(spelled(truth)) for answer in answers)
        return Verdict(answers[0] if answers else None, right)
    places = None if kind == "integer" else int(field(extra_info, "precision", "MathVista"))
    with expressions.limited_questions():
        number = _number(response)
    if number is None:
        return Verdict(None, False, why="no number")
    right = _typed(number, places) == _typed(float(truth), places)
    return Verdict(f"{number:g}", right, why="the number, " + ("cut" if places is None else f"to {places} decimals"))


def nearest_option(answer: str, options: Sequence[str]) -> int:
    """Index of the option nearest to an answer by Levenshtein distance, the first of equals."""
    distances = [Levenshtein.distance(answer, option) for option in options]
    return distances.index(min(distances))


def _choice(response: str, truth: str, extra_info: Mapping[str, Any]) -> Verdict:
    options = options_of(extra_info)
    wanted = true_letter(truth, options)
    if wanted is None:
        raise ValueError(f"the ground truth {truth!r} is none of the options {options}")
    with expressions.limited_questions():
        found = find_letter(response, options)
    if found.doubtful:
        return Verdict(found.text, False, choice_letter.NAME, found.why, doubtful=True)
    letter = found.letter or _nearest(response, options)
    # by text, as the script does: three questions of testmini list one option twice
    right = letter is not None and options[letter] == options[wanted]
    return Verdict(letter or found.text, right, choice_letter.NAME, found.why if found.letter else "the nearest option")


def _nearest(response: str, options: Mapping[str, str]) -> str | None:
    """The published last resort, for what can be an option's text; a sentence that names none has no answer."""
    answers = [spelled(text) for text in final_answers(response)]
    if not answers or not answers[0]:
        return None
    longest = max(map(len, options.values()))
    if marked_answer(response) is None and len(answers[0]) > 2 * longest:
        return None
    return list(options)[nearest_option(answers[0], list(options.values()))]


def _number(response: str) -> float | None:
    texts = readings(response)
    for text in texts:
        for value in (text, *values_of(text, kinds.same)):
            found = [one for one in read_quantities(value) if len(one.parts) == 1 and not one.unit.doubtful]
            if found:
                return _moderate(float(found[0].number.value))
    marked = marked_answer(response) is not None
    sentences = [*texts, *([] if marked else map(spelled, response.strip().splitlines()[-1:]))]
    if not sentences or len(sentences[0]) > _MAX_LINE or _BOUND.search(sentences[0]):
        return None
    if marked and is_mathematical(sentences[0]):
        return None  # an expression without a value
    numbers = _NUMBER.findall(sentences[0])
    return _moderate(float(numbers[0].replace(",", ""))) if len(numbers) == 1 else None


def _moderate(number: float) -> float | None:
    return number if abs(number) < _LARGEST else None


def _typed(number: float, places: int | None) -> float:
    return int(number) if places is None else round(number, places)


def _packed(text: str) -> str:
    return re.sub(r"\s", "", text)
