# SPDX-License-Identifier: Apache-2.0
"""One wrong response with its reference, as a JSON line."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from verl_df.io.lines import Lines
from verl_df.io.validation import checked
from verl_df.method.group import ReferenceKind


@checked
class RepairSample:
    """(x, y, a), and y* once there is one.

    Attributes:
        id: see `sample_id`.
        prompt_index: row of the data file, from 0.
        data_source: of the row.
        prompt: x in verl's chat form, `<image>` markers in the text.
        images: file names in the set's `images` folder, one a marker.
        ground_truth: of the row, a JSON value.
        extra_info: of the row, JSON values.
        response: y without special tokens.
        response_ids: y as sampled, end token included.
        reference: a.
        reference_kind: "sibling" (a correct response's text), "answer" (the annotated answer) or "preferred" (the
            preferred response of the row).
        target: y*, None until the import.
    """

    id: str
    prompt_index: int
    data_source: str
    prompt: list[dict[str, Any]]
    images: list[str]
    ground_truth: Any
    extra_info: dict[str, Any]
    response: str
    response_ids: list[int]
    reference: str
    reference_kind: ReferenceKind
    target: str | None = None

    @property
    def question(self) -> str:
        """Text of the last message, `<image>` markers included."""
        return self.prompt[-1]["content"]


# NaN in `extra_info` stays, in the spelling of Python's `json`.
SAMPLES = Lines(RepairSample, version=1, what="a sample", allow_nan=True)


def read_samples(path: Path) -> Iterator[RepairSample]:
    """The samples of a file, one at a time. Raises: ValueError with file and line number."""
    return SAMPLES.read(path)


def sample_id(prompt_index: int, rollout: int, response_ids: Sequence[int]) -> str:
    """A stable id, 16 hexadecimal digits, of the row's number, the rollout's number and what was sampled.

    With the tokens in it, a target that was written for another sampling run is unknown here, not taken for this one's.
    """
    text = json.dumps([prompt_index, rollout, list(response_ids)])
    return hashlib.sha256(text.encode()).hexdigest()[:16]
