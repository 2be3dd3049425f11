# SPDX-License-Identifier: Apache-2.0
"""MMStar: 1,500 multiple-choice questions that need their image; split val.

Columns `index`, `question` (with its choices: "Options: A: ..., B: ..."), `image`, `answer` (a letter), `category`,
`l2_category`, `meta_info`: as read by eval/ of MMStar-Benchmark/MMStar and by lmms-eval's tasks/mmstar. Published
prompt: lmms-eval's, the question and the instruction to answer with the letter; the authors' own scripts leave the
instruction to each model.

Our reading: choices are taken out of the question's text; a question whose choices cannot be read keeps none.
"""

from verl_df.lab.data.fields import Row, mapping, text
from verl_df.lab.data.images import Files, encoded
from verl_df.lab.data.options_in_text import read_options
from verl_df.lab.data.prompts import LETTER
from verl_df.lab.data.rows import Sample
from verl_df.lab.data.source import TEXT, Source


def sample(row: Row, files: Files) -> Sample:
    """One question. Raises: Dropped."""
    question, answer = text(row, "question"), text(row, "answer")
    return Sample(
        images=(encoded(row["image"], files),),
        question=question,
        body=question.strip(),
        published=f"{question.strip()}\n{LETTER}",
        answer=answer,
        ground_truth=answer.strip().upper(),
        choices=read_options(question),
        extra={
            "category": text(row, "category"),
            "l2_category": text(row, "l2_category"),
            "source": text(mapping(row, "meta_info"), "source"),
        },
    )


SOURCE = Source(
    "mmstar",
    sample,
    hub="Lin-Chen/MMStar",
    split="val",
    configs=("val",),
    ability="vqa",
    benchmark=True,
    key="index",
    needs=("index", "question", "image", "answer", "category", "l2_category"),
    extra=dict.fromkeys(("category", "l2_category", "source"), TEXT),
)
