# SPDX-License-Identifier: Apache-2.0
"""MMMU: college questions in 30 subjects, a config each; split validation has 900 public answers, test has "?".

Columns `id`, `question`, `options` (a list, written as Python writes it), `image_1` to `image_7`, `answer`,
`question_type`, `subfield`, `topic_difficulty`: card of `MMMU/MMMU`. Markers `<image 1>` stand in the question and in
options. Published prompt: `construct_prompt` of mmmu/utils/data_utils.py with mmmu/configs/llava1.5.yaml of
MMMU-Benchmark/MMMU (what YAML makes of it: one line feed after the question).

Each marker becomes verl's `<image>` where it stands, a picture that is named twice is shown twice (as VLMEvalKit's
MMMUDataset does), and a picture that is named nowhere is left out: it belongs to the explanation. Our reading: a
question without any marker is asked about its first picture. An open question may have several accepted answers, all
in `answers`; the ground truth is the first.
"""

import re

from verl_df.lab.data.fields import Row, literal_texts, text
from verl_df.lab.data.images import Files, encoded
from verl_df.lab.data.prompts import LETTER, choice_lines
from verl_df.lab.data.rows import Dropped, Sample
from verl_df.lab.data.source import TEXT, TEXTS, Source
from verl_df.rows.columns import MARKER
from verl_df.rows.faults import Reason

DOMAINS = {
    "Art and Design": ("Art", "Art_Theory", "Design", "Music"),
    "Business": ("Accounting", "Economics", "Finance", "Manage", "Marketing"),
    "Science": ("Biology", "Chemistry", "Geography", "Math", "Physics"),
    "Health and Medicine": (
        "Basic_Medical_Science",
        "Clinical_Medicine",
        "Diagnostics_and_Laboratory_Medicine",
        "Pharmacy",
        "Public_Health",
    ),
    "Humanities and Social Science": ("History", "Literature", "Sociology", "Psychology"),
    "Tech and Engineering": (
        "Agriculture",
        "Architecture_and_Engineering",
        "Computer_Science",
        "Electronics",
        "Energy_and_Power",
        "Materials",
        "Mechanical_Engineering",
    ),
}
_DOMAIN = {subject: domain for domain, subjects in DOMAINS.items() for subject in subjects}
_NAMED = re.compile(r"<image (\d+)>")
_ID = re.compile(r"[a-z]+_(\w+)_\d+")  # validation_Art_Theory_12
_HIDDEN = "?"  # the answer of every row of split test


def sample(row: Row, files: Files) -> Sample:
    """One question. Raises: Dropped."""
    question, subject = text(row, "question"), _subject(text(row, "id"))
    several = text(row, "question_type") == "multiple-choice"
    choices = literal_texts("options", text(row, "options")) if several else ()
    if several and not choices:
        raise Dropped(Reason.OTHER_FORM, "a multiple-choice question without options")
    answers = _answers(text(row, "answer"), several)
    body = f"{question}\n{choice_lines(choices)}\n" if several else question
    instruction = LETTER if several else "Answer the question using a single word or phrase."
    numbers = [int(number) for number in _NAMED.findall(body)] or [1]
    return Sample(
        images=tuple(_image(row, number, files) for number in numbers),
        question=question,
        body=_NAMED.sub(MARKER, body),
        published=_NAMED.sub(MARKER, f"{body}\n{instruction}"),
        answer=text(row, "answer"),
        ground_truth=answers[0],
        choices=choices,
        extra={
            "question_type": text(row, "question_type"),
            "answers": [] if several else list(answers),
            "subject": subject,
            "domain": _DOMAIN[subject],
            "subfield": text(row, "subfield"),
            "topic_difficulty": text(row, "topic_difficulty"),
        },
    )


def _image(row: Row, number: int, files: Files) -> bytes:
    image = row.get(f"image_{number}")
    if image is None:
        raise Dropped(Reason.MARKERS, f"it has no image_{number}")
    return encoded(image, files)


def _subject(name: str) -> str:
    match = _ID.fullmatch(name)
    if match is None or match[1] not in _DOMAIN:
        raise Dropped(Reason.OTHER_FORM, f"id {name!r} names no subject; one is like validation_Art_Theory_12")
    return match[1]


def _answers(answer: str, several: bool) -> tuple[str, ...]:
    """Accepted answers: one, or those of "['24/7', '3.429']"; never empty."""
    answer = answer.strip()
    if answer == _HIDDEN or not answer:
        raise Dropped(Reason.NO_ANSWER)
    return literal_texts("answer", answer) if answer.startswith("[") and not several else (answer,)


SOURCE = Source(
    "mmmu",
    sample,
    hub="MMMU/MMMU",
    split="validation",
    configs=tuple(sorted(_DOMAIN)),
    ability="vqa",
    benchmark=True,
    needs=("id", "question", "options", "image_1", "answer", "question_type"),
    extra={"question_type": TEXT, "answers": TEXTS, **dict.fromkeys(("subject", "domain", "subfield"), TEXT)}
    | {"topic_difficulty": TEXT},
)
