# SPDX-License-Identifier: Apache-2.0
"""VisualProcessBench: 2,866 solutions of four models, every step labelled by people (26,950 labels).

`OpenGVLab/VisualProcessBench`: test.jsonl and images.zip. A row has `image` (a list of paths), `question`, `answer`,
`response` (`steps`, and `process_correctness` with 1 for a right, 0 for a neutral and -1 for a wrong step),
`policy_model`, `data_source` (its card). Questions come from MMMU, MathVision, MathVerse, DynaMath and WeMath.

Steps are joined by blank lines: our reading, for the card does not say how responses were split. All of a wrong step
is wrong, except blanks at its ends. A neutral step, which does no reasoning or says nothing new (arXiv 2503.10291),
counts as not wrong. A response is right (reward 1) where no step is wrong: the source does not judge its answer.
"""

from dataclasses import fields
from typing import Literal

from verl_df.io.validation import Listed, checked
from verl_df.lab.data.fields import Row
from verl_df.lab.data.images import Files
from verl_df.lab.data.rows import Dropped
from verl_df.lab.data.spans.labelled import Labelled, Response, SpanSource, with_markers
from verl_df.lab.data.spans.pictures import picture_of
from verl_df.rows.columns import MARKER
from verl_df.rows.faults import Reason

SEPARATOR = "\n\n"
WRONG = -1


@checked
class Steps:
    """A response. Raises: ValueError for another number of labels than of steps, or none."""

    steps: Listed[str]
    process_correctness: Listed[Literal[1, 0, -1]]

    def __post_init__(self) -> None:
        if not self.steps or len(self.steps) != len(self.process_correctness):
            raise ValueError(
                f"response.process_correctness has {len(self.process_correctness)} labels for {len(self.steps)} steps: "
                "write 1 (right), 0 (neutral) or -1 (wrong) for each of one or more steps"
            )


@checked
class Solution:
    """What is read of a row."""

    image: Listed[str]
    question: str
    answer: str
    response: Steps
    data_source: str = ""


def read(row: Row, files: Files) -> Labelled:
    """One solution. Raises: RowError, ValueError."""
    known = {one.name for one in fields(Solution)}
    given = {name: value for name, value in row.items() if name in known}
    if isinstance(given.get("image"), str):
        given["image"] = [given["image"]]
    solution = Solution(**given)
    markers = solution.question.count(MARKER)
    if not solution.image:
        raise Dropped(Reason.NO_IMAGE)
    if markers not in (0, len(solution.image)):
        raise Dropped(Reason.MARKERS, f"{markers} markers for {len(solution.image)} images")
    text, spans = joined(solution.response)
    return Labelled(
        prompt=with_markers(solution.question, len(solution.image)),
        images=tuple(picture_of(image, files) for image in solution.image),
        ground_truth=solution.answer,
        responses=(Response(text, spans),),
        extra_info={"source": solution.data_source},
    )


def joined(response: Steps) -> tuple[str, tuple[tuple[int, int], ...]]:
    """The text, and the characters of its wrong steps."""
    spans = []
    start = 0
    for step, label in zip(response.steps, response.process_correctness, strict=True):
        stripped = step.strip()
        if label == WRONG and stripped:
            first = start + step.index(stripped)
            spans.append((first, first + len(stripped)))
        start += len(step) + len(SEPARATOR)
    return SEPARATOR.join(response.steps), tuple(spans)


SOURCES = (
    SpanSource(
        "visualprocessbench",
        "OpenGVLab/VisualProcessBench",
        read,
        "MIT (its card); questions and pictures are MMMU's, MathVision's, MathVerse's, DynaMath's and WeMath's",
        "pkg://verl_df.judges.final_answer",
        split="test",
        downloads=("test.jsonl", "images.zip"),
    ),
)
