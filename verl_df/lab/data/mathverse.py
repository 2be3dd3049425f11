# SPDX-License-Identifier: Apache-2.0
"""MathVerse: 788 problems, each in five versions that move what is known from the text into the diagram.

Columns `sample_index`, `problem_index`, `problem_version`, `question` (choices included), `image`, `answer`,
`question_type`, `metadata`, `query_wo`, `query_cot`, `question_for_eval`: README of ZrrSkywalker/MathVerse and
lmms-eval's tasks/mathverse; the repository's JSON files lack the last one. Version "Vision Only" has its question in
the picture. The "Text Only" rows of config testmini_text_only have no image and are left out.

Published prompt: `query_wo`, a direct answer, whose score the authors call primary. Boxed: `query_cot`, which asks for
reasoning first, and our instruction. The answer of a multiple-choice question is a letter, in a few rows the text of a
choice, which we give as its letter; two rows of each version name two letters: theirs stays a text, without choices.
"""

from verl_df.judges.kinds import choice_letter
from verl_df.lab.data.fields import Row, mapping, text
from verl_df.lab.data.images import Files, encoded
from verl_df.lab.data.options_in_text import read_options
from verl_df.lab.data.prompts import letter
from verl_df.lab.data.rows import Sample
from verl_df.lab.data.source import TEXT, Source

_KEYS = ("problem_index", "problem_version", "question_type", "question_for_eval")
_METADATA = ("subject", "subfield", "source")


def sample(row: Row, files: Files) -> Sample:
    """One version of a problem. Raises: Dropped."""
    question, answer = text(row, "question"), text(row, "answer")
    choices = read_options(text(row, "question_for_eval") or question)
    several = text(row, "question_type") == "multi-choice"
    named = _letter(answer.strip(), choices) if several else None
    metadata = mapping(row, "metadata")
    return Sample(
        images=(encoded(row["image"], files),),
        question=question,
        body=text(row, "query_cot"),
        published=text(row, "query_wo"),
        answer=answer,
        ground_truth=named or answer.strip(),
        choices=choices if named else (),
        extra={
            **{key: text(row, key) for key in _KEYS},
            **{key: text(metadata, key) for key in _METADATA},
        },
    )


def _letter(answer: str, choices: tuple[str, ...]) -> str | None:
    """The letter of an answer that is one, "B" or "(B)", or the text of one choice; None for anything else."""
    letters = [letter(number) for number in range(len(choices))]
    named = choice_letter.read(answer)
    if named is not None and not named.text and named.letter in letters:
        return named.letter
    return letters[choices.index(answer)] if choices.count(answer) == 1 else None


SOURCE = Source(
    "mathverse",
    sample,
    hub="AI4Math/MathVerse",
    split="testmini",
    configs=("testmini",),
    benchmark=True,
    key="sample_index",
    needs=("sample_index", "question", "image", "answer", "question_type", "metadata", "query_wo", "query_cot"),
    extra=dict.fromkeys((*_KEYS, *_METADATA), TEXT),
)
