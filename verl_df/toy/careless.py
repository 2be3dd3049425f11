# SPDX-License-Identifier: Apache-2.0
"""Stage 1 data as people write it: some of them do not edit a response, they write the answer anew.

Such a target is right, and far from y: the rows come in the other order, with other totals. A repair model that learnt
from it over-edits, a habit for stage 2's edit penalty (Eq. 4) to remove, as the policy's habit is for the policy's.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd

from verl_df.toy.settings import ToySettings

_COUNTS = re.compile(r"\+(\d) =\d$")


def rewritten(response: str) -> str:
    """A well-formed right response in the other row order: the same facts and answer, the running totals its own."""
    *rows, answer = response.split("\n")
    total, lines = 0, []
    for row in reversed(rows):
        total += int(_COUNTS.search(row)[1])
        lines.append(_COUNTS.sub(rf"+\1 ={total}", row))
    return "\n".join([*lines, answer])


def write_stage1_data(repairs: Path, out: Path, settings: ToySettings) -> int:
    """Write the first rows of the repair set, a share of the targets written anew. Returns how many of them are.

    Args:
        repairs: SFT rows with exact targets (`repair_data.write_repair_data`), in random order.
        out: parquet to write.
        settings: `stage1.rows` and `rewritten_share`.
    """
    rows = pd.read_parquet(repairs).head(settings.stage1.rows)
    anew = np.random.default_rng([settings.seed, 1]).random(len(rows)) < settings.rewritten_share
    rows["messages"] = [
        _rewritten_target(list(messages)) if careless else messages
        for messages, careless in zip(rows["messages"], anew, strict=True)
    ]
    rows.to_parquet(out)
    return int(anew.sum())


def _rewritten_target(messages: list[dict[str, str]]) -> list[dict[str, str]]:
    *before, target = messages
    return [*before, {**target, "content": rewritten(target["content"])}]
