# SPDX-License-Identifier: Apache-2.0
"""MMPR-Tiny, the training data of InternVL3.5's reinforcement learning.

Two files, `mmpr_tiny.parquet` and `images.zip`. The table is verl's already (`prompt`, `images`, `reward_model`,
`extra_info`), but holds paths, `MMPR-Tiny/images/...`, where the archive has `images/...`; the bare question is in
`extra_info.question`, with `<image>` or `<image_1>` markers or none. Source of the schema: the README of InternVL3.5's
training code (layout, `data.train_files=.../mmpr_tiny.parquet`) and NVIDIA NeMo-RL's reader
nemo_rl/data/datasets/response_datasets/mmpr_tiny.py (columns, paths, markers). The archive is read where it lies.

Our reading: choices, where a question has any, stand in its text and are not taken apart.
"""

import re

from verl_df.lab.data.fields import Row, many, mapping, text
from verl_df.lab.data.images import Files, encoded
from verl_df.lab.data.rows import Dropped, Sample
from verl_df.lab.data.source import Source
from verl_df.rows.columns import MARKER
from verl_df.rows.faults import Reason

_NUMBERED = re.compile(r"<image_\d+>")


def sample(row: Row, files: Files) -> Sample:
    """One question. Raises: Dropped."""
    question = text(mapping(row, "extra_info"), "question") or _user_text(row)
    answer = text(mapping(row, "reward_model"), "ground_truth")
    return Sample(
        images=tuple(encoded(_unpacked(image), files) for image in many(row, "images")),
        question=question,
        body=_NUMBERED.sub(MARKER, question),
        answer=answer,
        ground_truth=answer.strip(),
    )


def _unpacked(image: object) -> object:
    """The image's cell with its path as in the archive; bytes, should a copy hold them, stay."""
    path = image.get("path") if isinstance(image, dict) and not image.get("bytes") else image
    if not isinstance(path, str):
        return image
    return f"images/{path.rpartition('images/')[2]}" if "images/" in path else path


def _user_text(row: Row) -> str:
    messages = many(row, "prompt")
    if not all(isinstance(message, dict) for message in messages):
        raise Dropped(Reason.OTHER_FORM, "prompt is not a list of messages")
    texts = [text(message, "content") for message in messages if message.get("role") == "user"]
    return texts[-1] if texts else ""


SOURCE = Source(
    "mmpr_tiny",
    sample,
    hub="OpenGVLab/MMPR-Tiny",
    downloads=("mmpr_tiny.parquet", "images.zip"),
    needs=("prompt", "images", "reward_model"),
)
