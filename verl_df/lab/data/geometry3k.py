# SPDX-License-Identifier: Apache-2.0
"""Geometry3K, the version that verl's own examples train on: problems with a diagram and a LaTeX answer.

Columns `images` (a list), `problem` (with its `<image>` marker), `answer`; splits train, validation and test. Source of
the schema: verl's examples/data_preprocess/geo3k.py, which reads `hiyouga/geometry3k`. Training data: no published
prompt; that example's own instruction can be given with --instruction.
"""

from verl_df.lab.data.fields import Row, many, text
from verl_df.lab.data.images import Files, encoded
from verl_df.lab.data.rows import Sample
from verl_df.lab.data.source import Source


def sample(row: Row, files: Files) -> Sample:
    """One problem. Raises: Dropped."""
    problem, answer = text(row, "problem"), text(row, "answer")
    return Sample(
        images=tuple(encoded(image, files) for image in many(row, "images")),
        question=problem,
        body=problem,
        answer=answer,
        ground_truth=answer.strip(),
    )


SOURCE = Source("geometry3k", sample, hub="hiyouga/geometry3k", needs=("images", "problem", "answer"))
