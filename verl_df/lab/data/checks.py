# SPDX-License-Identifier: Apache-2.0
"""What a row must fulfil before it is written."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from verl_df.judges.final_answer import compute_score
from verl_df.lab.data.prompts import letter
from verl_df.lab.data.rows import Dropped, Sample
from verl_df.rows.check import RowRules, check_row
from verl_df.rows.columns import MARKER
from verl_df.rows.faults import Reason


def check_sample(sample: Sample, row: Mapping[str, Any], min_side: int) -> None:
    """Check a question, and the row that was made of it as everybody does who reads it.

    Raises:
        RowError: the first thing that is wrong.
        WorkerError: math-verify does not start.
    """
    if not sample.body.replace(MARKER, "").strip():
        raise Dropped(Reason.NO_QUESTION)
    check_row(row, RowRules(Path(), min_side=min_side))
    check_answer(sample)


def check_answer(sample: Sample) -> None:
    """Check that the right answer, boxed, scores by the rules of verl_df.judges. Raises: Dropped."""
    truth = sample.ground_truth
    if not truth:
        raise Dropped(Reason.NO_ANSWER)
    if sample.choices and truth not in map(letter, range(len(sample.choices))):
        raise Dropped(Reason.NOT_A_CHOICE, f"{truth!r} of {len(sample.choices)} choices")
    score = compute_score("", f"\\boxed{{{truth}}}", truth, {"choices": list(sample.choices)})
    if score["score"] != 1.0:
        raise Dropped(Reason.UNPARSED_ANSWER, f"{truth!r}, boxed, does not match itself")
