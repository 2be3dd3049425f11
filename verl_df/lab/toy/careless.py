# SPDX-License-Identifier: Apache-2.0
"""Stage 1 data as people write it: some of them overlook what is wrong and leave a response as it is.

A repair model that learnt from it often copies y, a habit for stage 2 (Eq. 4) to remove: r_task of a copy is 0. It is
what the careless annotator of the policy's data (`data.py`) is to the policy.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from verl_df.lab.toy.data import sft_row, write_parquet
from verl_df.lab.toy.settings import ToySettings
from verl_df.lab.toy.truth import exact_repair
from verl_df.prompts import render_repair


def write_stage1_data(tasks: Path, out: Path, settings: ToySettings) -> tuple[int, int]:
    """Write SFT rows of repair tasks. Returns how many there are, and in how many of them the target is y itself.

    Args:
        tasks: repair tasks with siblings as references (`repair_data.write_repair_tasks`).
        out: parquet to write.
        settings: `stage1.rows`, and the share `overlooked_share` of rows whose errors were overlooked.
    """
    rows = [row for row in pd.read_parquet(tasks).to_dict("records") if _target(row) is not None]  # None: malformed
    rows = rows[: settings.stage1.rows]
    overlooked = np.random.default_rng([settings.seed, 1]).random(len(rows)) < settings.overlooked_share
    write_parquet([_sft_row(row, bool(missed)) for row, missed in zip(rows, overlooked, strict=True)], out)
    return len(rows), int(overlooked.sum())


def _sft_row(row: dict, overlooked: bool) -> dict[str, object]:
    task = row["repair_task"]
    prompt = render_repair(row["prompt"][0]["content"], task["response"], task["reference"])
    target = task["response"] if overlooked else _target(row)
    return sft_row(list(row["images"]), prompt, target)


def _target(row: dict) -> str | None:
    return exact_repair(row["repair_task"]["response"], row["extra_info"])
