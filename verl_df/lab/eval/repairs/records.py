# SPDX-License-Identifier: Apache-2.0
"""What an evaluation of repair models keeps as JSON lines, so that each figure can be computed again."""

from typing import Literal

from verl_df.io.lines import Lines
from verl_df.io.validation import Listed, checked
from verl_df.lab.eval.records import Share
from verl_df.method.group import ReferenceKind

FULL, HIDDEN, SHOWN = "full", "removed_hidden", "removed_shown"


@checked
class TaskRecord:
    """One wrong response to repair.

    Attributes:
        task_id: of x, y and a.
        prompt_id: of x, the same for all responses to one prompt.
        question: last user text.
        response, response_ids: y.
        reference: a.
        truth_mask: the truly wrong tokens of y, 0 or 1 each, None where unknown.

    Raises: ValueError for a truth mask of another length than y.
    """

    task_id: str
    prompt_id: str
    reference_kind: ReferenceKind
    question: str
    ground_truth: str
    reference: str
    response: str
    response_ids: Listed[int]
    truth_mask: Listed[int] | None

    def __post_init__(self) -> None:
        if self.truth_mask is not None and len(self.truth_mask) != len(self.response_ids):
            raise ValueError(f"truth_mask has {len(self.truth_mask)} entries for {len(self.response_ids)} tokens")


@checked
class SampleRecord:
    """One sample of one method for one task.

    Attributes:
        method: name in the tables.
        decoding: "copy" generates nothing.
        condition: "full", or the image removed with the reference hidden or shown.
        seed: of the random draws.
        sample: number among the responses to the task.
        token_ids, text: what was generated.
        finished, contains_placeholder: as in `method.repair.Candidate`.
        reward: r_task of the text for the original prompt, in [0, 1].
    """

    task_id: str
    method: str
    decoding: Literal["sampled", "greedy", "copy"]
    condition: Literal["full", "removed_hidden", "removed_shown"]
    seed: int
    sample: int
    token_ids: Listed[int]
    text: str
    finished: bool
    contains_placeholder: bool
    reward: Share

    @property
    def unit(self) -> tuple[str, str, str, int, str]:
        """What is answered together."""
        return self.method, self.decoding, self.condition, self.seed, self.task_id

    @property
    def score(self) -> float:
        """The reward."""
        return self.reward


TASKS, SAMPLES = Lines(TaskRecord, version=1), Lines(SampleRecord, version=1)
