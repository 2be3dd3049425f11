# SPDX-License-Identifier: Apache-2.0
"""MATH-Vision: problems of mathematics competitions; splits test (3,040) and testmini (304).

Columns `id`, `question` (with markers `<image1>`, ...), `options` (five, or none), `image` (a path), `decoded_image`,
`answer`, `solution`, `level`, `subject`: card of `MathLLMs/MathVision`; data/test.jsonl of mathllm/MATH-V has the same
without decoded_image. A problem of several pictures has one image, into which they are merged, so its markers stay in
the text as they are, as in the authors' scripts. Published prompt: that of models/GPT4.py and models/Qwen-VL.py there,
"step by step" with a boxed answer; choices that are only letters (drawn in the picture) are not listed.
"""

from verl_df.lab.data.fields import Row, text, texts, whole
from verl_df.lab.data.images import Files, encoded
from verl_df.lab.data.prompts import choice_lines
from verl_df.lab.data.rows import Sample
from verl_df.lab.data.source import TEXT, WHOLE, Source

_INSTRUCTION = (
    'Please solve the problem step by step and put your answer in one "\\boxed{}". '
    'If it is a multiple choice question, only one letter is allowed in the "\\boxed{}".\n'
)


def sample(row: Row, files: Files) -> Sample:
    """One problem. Raises: Dropped."""
    question, answer, choices = text(row, "question"), text(row, "answer"), texts(row, "options")
    listed = f"{choice_lines(choices)}\n" if choices and "".join(choices) != "ABCDE" else ""
    body = f"{question}\n{listed}"
    return Sample(
        images=(encoded(row.get("decoded_image") or row.get("image"), files),),
        question=question,
        body=body,
        published=_INSTRUCTION + body,
        answer=answer,
        ground_truth=answer.strip(),
        choices=choices,
        extra={"level": whole(row, "level"), "subject": text(row, "subject")},
    )


SOURCE = Source(
    "mathvision",
    sample,
    hub="MathLLMs/MathVision",
    split="test",
    benchmark=True,
    needs=("id", "question", "options", "answer", "level", "subject"),
    extra={"level": WHOLE, "subject": TEXT},
)
