# SPDX-License-Identifier: Apache-2.0
"""`parquet`: verl's files from a set, split by prompt."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from verl_df.io.files import inside
from verl_df.io.streams import batches
from verl_df.lab.repair_data.folder import SetFolder
from verl_df.lab.repair_data.records import RepairSample
from verl_df.prompts.messages import repair_messages

_ROWS_PER_GROUP = 64  # with their images; what the writer holds in memory
_IMAGES = pa.list_(pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
_TASK = pa.struct(
    [
        ("response", pa.string()),
        ("response_ids", pa.list_(pa.int64())),
        ("reference", pa.string()),
        ("reference_kind", pa.string()),
    ]
)
SFT_SCHEMA = pa.schema(
    [
        ("messages", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))),
        ("images", _IMAGES),
    ]
)


def prompt_key(sample: RepairSample) -> str:
    """The prompt x itself: two rows of the data file with the same text and images have the same key."""
    text = json.dumps([sample.prompt, sample.images], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def held_out_prompts(samples: Iterable[RepairSample], share: float, seed: int) -> frozenset[str]:
    """Keys of the prompts that are held out: `share` of all, rounded, at least one and not all.

    The draw depends on which prompts there are and not on their order.

    Raises: ValueError for a share outside (0, 1), or fewer than two prompts.
    """
    if not 0 < share < 1:
        raise ValueError(f"--held-out {share}: a share of the prompts, more than 0 and less than 1")
    keys = sorted({prompt_key(sample) for sample in samples})
    if len(keys) < 2:
        raise ValueError(
            f"--held-out {share}: the set has {len(keys)} prompts, and at least 2 are needed to split them"
        )
    count = min(max(1, round(share * len(keys))), len(keys) - 1)
    drawn = np.random.default_rng(seed).permutation(len(keys))[:count]
    return frozenset(keys[index] for index in drawn)


def sft_row(sample: RepairSample, images: Path, template: str | None) -> dict[str, Any]:
    """verl's SFT row (x, y, a) → y*: the repair prompt, then y* as the assistant's turn.

    Raises: ValueError for a sample without target.
    """
    if sample.target is None:
        raise ValueError(f"sample {sample.id} has no target")
    prompt = [{"role": message["role"], "content": message["content"]} for message in sample.prompt]
    messages = repair_messages(prompt, sample.response, sample.reference, template)
    return {
        "messages": [*messages, {"role": "assistant", "content": sample.target}],
        "images": _image_column(sample, images),
    }


def task_row(sample: RepairSample, images: Path) -> dict[str, Any]:
    """A repair task: verl's RL row of the prompt x, and the column `repair_task` with y and a."""
    return {
        "data_source": sample.data_source,
        "prompt": sample.prompt,
        "images": _image_column(sample, images),
        "reward_model": {"style": "rule", "ground_truth": sample.ground_truth},
        "extra_info": sample.extra_info,
        "repair_task": {name: getattr(sample, name) for name in _TASK.names},
    }


def task_schema(folder: SetFolder) -> pa.Schema:
    """Types of the columns of repair tasks.

    `extra_info`, `prompt` and the ground truth have the types of the data file that was sampled. Parquet has one type
    for all rows of a column: a key that only some rows have is null in the others, as it was there.
    """
    source = pq.read_schema(folder.columns)
    truth = source.field("reward_model").type.field("ground_truth").type
    kept = [source.field(name) for name in ("data_source", "prompt")]
    made = [
        pa.field("images", _IMAGES),
        pa.field("reward_model", pa.struct([("style", pa.string()), ("ground_truth", truth)])),
    ]
    extra = [source.field("extra_info")] if "extra_info" in source.names else []
    return pa.schema([*kept, *made, *extra, pa.field("repair_task", _TASK)])


def write_rows(path: Path, schema: pa.Schema, rows: Iterable[Mapping[str, Any]]) -> int:
    """Write a parquet file, a row group at a time. Returns the number of rows."""
    count = 0
    with pq.ParquetWriter(path, schema) as writer:
        for part in batches(rows, _ROWS_PER_GROUP):
            writer.write_table(pa.Table.from_pylist(part, schema=schema))
            count += len(part)
    return count


def _image_column(sample: RepairSample, images: Path) -> list[dict[str, Any]]:
    return [{"bytes": inside(images, name).read_bytes(), "path": None} for name in sample.images]
