# SPDX-License-Identifier: Apache-2.0
"""A question as every source gives it, and the row that is made of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from verl_df.rows.faults import RowError


class Dropped(RowError):
    """A row that is left out. reason: from the vocabulary; detail: what exactly, for people."""


@dataclass(frozen=True)
class Sample:
    """One question of a source.

    images: encoded as in the source, in the order of their markers. question: as
    in the source. body: question and choices with `<image>` markers, or without any where the images come first.
    published: the whole prompt that the benchmark's authors publish; "" for training data. answer: the source's own.
    ground_truth: a capital letter for a question whose choices are known, else a text. choices: their texts, A first.
    extra: the source's further keys of extra_info, all of them in each row.
    """

    images: tuple[bytes, ...]
    question: str
    body: str
    answer: str
    ground_truth: str
    published: str = ""
    choices: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)


_COMMON = {
    "id": pa.string(),
    "split": pa.string(),
    "index": pa.int64(),
    "question": pa.string(),
    "choices": pa.list_(pa.string()),
    "answer": pa.string(),
}


def row_schema(extra: Mapping[str, pa.DataType]) -> pa.Schema:
    """The parquet schema of a source with these further keys in extra_info."""
    return pa.schema(
        {
            "data_source": pa.string(),
            "prompt": pa.list_(pa.struct({"role": pa.string(), "content": pa.string()})),
            "images": pa.list_(pa.struct({"bytes": pa.binary()})),
            "ability": pa.string(),
            "reward_model": pa.struct({"style": pa.string(), "ground_truth": pa.string()}),
            "extra_info": pa.struct({**_COMMON, **extra}),
        }
    )


def build_row(
    sample: Sample, prompt: str, *, data_source: str, ability: str, name: str, split: str, index: int
) -> dict[str, Any]:
    """verl's RL row. prompt: with markers. name: the row's id. index: its number in the source, from 0."""
    info = {
        "id": name,
        "split": split,
        "index": index,
        "question": sample.question,
        "choices": list(sample.choices),
        "answer": sample.answer,
    }
    return {
        "data_source": data_source,
        "prompt": [{"role": "user", "content": prompt}],
        "images": [{"bytes": image} for image in sample.images],
        "ability": ability,
        "reward_model": {"style": "rule", "ground_truth": sample.ground_truth},
        "extra_info": {**info, **sample.extra},
    }
