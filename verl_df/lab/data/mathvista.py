# SPDX-License-Identifier: Apache-2.0
"""MathVista: mathematics in pictures; split testmini (1,000 rows) has public answers, test has none.

Columns as in the card of `AI4Math/MathVista` and the README of lupantech/MathVista: pid, question, image (a path),
decoded_image, choices, unit, precision, answer, question_type, answer_type, metadata, query. The repository's
data/testmini.json has no decoded_image and no query. Published prompt: the column `query`, or, without it, what
data/query.json of the repository has; ours was compared with all 1,000 of testmini.

The answer to a multiple-choice question is the option's text; ours is its letter, of the first option with this text
(three rows of testmini have equal options).
"""

from verl_df.lab.data.fields import Row, mapping, text, texts, whole
from verl_df.lab.data.images import Files, encoded
from verl_df.lab.data.prompts import choice_lines, letter
from verl_df.lab.data.rows import Dropped, Sample
from verl_df.lab.data.source import TEXT, TEXTS, WHOLE, Source
from verl_df.rows.faults import Reason

_KIND = "Hint: Please answer the question requiring {} and provide the final {}, e.g., {}, at the end."
_LETTER = "Hint: Please answer the question and provide the correct option letter, e.g., A, B, C, D, at the end."
_HINTS = {
    ("text", 0): _LETTER,
    ("integer", 0): _KIND.format("an integer answer", "value", "1, 2, 3"),
    ("float", 1): _KIND.format("a floating-point number with one decimal place", "value", "1.2, 1.3, 1.4"),
    ("float", 2): _KIND.format("a floating-point number with two decimal places", "value", "1.23, 1.34, 1.45"),
    ("list", 0): _KIND.format("a Python list as an answer", "list", "[1, 2, 3], [1.2, 1.3, 1.4]"),
}
_METADATA = ("language", "source", "category", "task", "context", "grade")


def sample(row: Row, files: Files) -> Sample:
    """One question. Raises: Dropped."""
    query = text(row, "query") or build_query(row)
    answer, choices = text(row, "answer"), texts(row, "choices")
    metadata = mapping(row, "metadata")
    return Sample(
        images=(encoded(row.get("decoded_image") or row.get("image"), files),),
        question=text(row, "question"),
        body=query,  # with its hint: it says how many decimal places it wants
        published=query,
        answer=answer,
        ground_truth=_truth(answer, choices),
        choices=choices,
        extra={
            "question_type": text(row, "question_type"),
            "answer_type": text(row, "answer_type"),
            "precision": whole(row, "precision"),
            "unit": text(row, "unit"),
            **{key: text(metadata, key) for key in _METADATA},
            "skills": list(texts(metadata, "skills")),
        },
    )


def build_query(row: Row) -> str:
    """The published query of a row without one. Raises: Dropped for an answer type that it does not know."""
    kind = text(row, "answer_type"), whole(row, "precision")
    if kind not in _HINTS:
        raise Dropped(Reason.OTHER_FORM, f"answer_type is {kind[0]!r} with precision {kind[1]}")
    unit, choices = text(row, "unit"), texts(row, "choices")
    question = f"Question: {text(row, 'question')}" + (f" (Unit: {unit})" if unit else "")
    listed = ["Choices:", choice_lines(choices)] if choices else []
    return "\n".join([_HINTS[kind], question, *listed]).strip()


def _truth(answer: str, choices: tuple[str, ...]) -> str:
    if not choices or not answer:
        return answer.strip()
    if answer not in choices:
        raise Dropped(Reason.NOT_A_CHOICE, f"{answer!r}")
    return letter(choices.index(answer))


SOURCE = Source(
    "mathvista",
    sample,
    hub="AI4Math/MathVista",
    split="testmini",
    benchmark=True,
    key="pid",
    needs=("question", "choices", "answer", "question_type", "answer_type", "precision", "metadata"),
    extra={
        **dict.fromkeys(("question_type", "answer_type"), TEXT),
        "precision": WHOLE,
        **dict.fromkeys(("unit", *_METADATA), TEXT),
        "skills": TEXTS,
    },
)
