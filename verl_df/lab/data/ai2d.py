# SPDX-License-Identifier: Apache-2.0
"""AI2D: multiple-choice questions on diagrams of school science; split test.

Columns `question`, `options` (a list), `answer` (the index of the right one, as a text), `image`: those of
`lmms-lab/ai2d`, written by lmms-eval's tasks/ai2d/upload_ai2d.py. Published prompt: lmms-eval's (tasks/ai2d/ai2d.yaml);
the authors of AI2D had none for generative models.
"""

from verl_df.lab.data.fields import Row, text, texts
from verl_df.lab.data.images import Files, encoded
from verl_df.lab.data.prompts import LETTER, choice_lines, letter
from verl_df.lab.data.rows import Dropped, Sample
from verl_df.lab.data.source import Source
from verl_df.rows.faults import Reason


def sample(row: Row, files: Files) -> Sample:
    """One question. Raises: Dropped."""
    question, choices, answer = text(row, "question"), texts(row, "options"), text(row, "answer").strip()
    if answer and not (answer.isdecimal() and int(answer) < len(choices)):
        raise Dropped(Reason.NOT_A_CHOICE, f"answer {answer!r} of {len(choices)} options, counted from 0")
    body = f"{question}\n{choice_lines(choices, '{}. {}')}"
    return Sample(
        images=(encoded(row["image"], files),),
        question=question,
        body=body,
        published=f"{body}\n{LETTER}",
        answer=answer,
        ground_truth=letter(int(answer)) if answer else "",
        choices=choices,
    )


SOURCE = Source(
    "ai2d",
    sample,
    hub="lmms-lab/ai2d",
    split="test",
    ability="vqa",
    benchmark=True,
    needs=("question", "options", "answer", "image"),
)
