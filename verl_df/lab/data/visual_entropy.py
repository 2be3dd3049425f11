# SPDX-License-Identifier: Apache-2.0
"""How complex the pictures of a data file are for a model's vision encoder, as a column for `df.durian`."""

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from verl_df.io.pictures import patch_size_of
from verl_df.lab.checkpoint.lora import load_model
from verl_df.lab.generation import load_processor
from verl_df.lab.rl_data import Prompt, RLData
from verl_df.token_weights.durian import VISUAL_ENTROPY, picture_complexity

_ROWS_AT_ONCE = 256
# What image processors give a vision encoder, by models' names for it.
_INPUTS = ("pixel_values", "image_grid_thw")


class Encoder:
    """The vision encoder of a policy, in float32.

    Args:
        model: Hugging Face folder of the policy.
    """

    def __init__(self, model: Path) -> None:
        self._processor = load_processor(str(model))
        self._model = load_model(model, torch.float32).eval()
        self._known: dict[bytes, float] = {}

    def complexity(self, prompt: Prompt) -> float:
        """Of a row's pictures, all of its patches together, before the model merges them. A picture is looked at once.

        Raises:
            ValueError: it has none.
        """
        if not prompt.images:
            raise ValueError(f"row {prompt.index} has no picture, and so no complexity of one")
        key = hashlib.sha256(b"".join(hashlib.sha256(image).digest() for image in prompt.images)).digest()
        if key not in self._known:
            self._known[key] = picture_complexity(self._patches(prompt))
        return self._known[key]

    @torch.no_grad()
    def _patches(self, prompt: Prompt) -> np.ndarray:
        pictures = prompt.pictures(patch_size_of(self._processor))
        inputs: dict[str, Any] = self._processor.image_processor(pictures, return_tensors="pt")
        given = {name: inputs[name] for name in _INPUTS if name in inputs}
        features = self._model.get_image_features(**given).last_hidden_state
        return features.flatten(0, -2).float().numpy()


def add_visual_entropy(source: Path, model: Path, out: Path) -> tuple[int, float, float]:
    """Write a copy of a parquet file with `extra_info.visual_entropy` in each row.

    Args:
        source: of verl's RL rows.
        model: Hugging Face folder of the policy.
        out: the copy; it must not be there.

    Returns:
        the number of rows, and the least and the largest value.

    Raises:
        ValueError: the copy is there already, a row has no picture, or a column is missing.
    """
    if out.exists():
        raise ValueError(f"{out} is there already: give another --out")
    data = RLData(source)
    data.check(range(data.rows))
    scores = _scores(data, Encoder(model))
    values: list[float] = []
    part = out.with_name(f"{out.name}.part")
    with ExitStack() as stack:
        writer = None
        for rows in pq.ParquetFile(source).iter_batches(batch_size=_ROWS_AT_ONCE):
            found = [next(scores) for _ in range(rows.num_rows)]
            table = pa.table(_with_column(rows, found))
            if writer is None:
                writer = stack.enter_context(pq.ParquetWriter(part, table.schema))
            writer.write_table(table)
            values += found
    part.replace(out)
    return len(values), min(values), max(values)


def _scores(data: RLData, encoder: Encoder) -> Iterator[float]:
    return map(encoder.complexity, data.prompts(range(data.rows)))


def _with_column(rows: pa.RecordBatch, scores: list[float]) -> dict[str, pa.Array]:
    columns = {name: rows.column(name) for name in rows.schema.names}
    info = columns["extra_info"]
    fields = {field.name: values for field, values in zip(info.type, info.flatten(), strict=True)}
    fields[VISUAL_ENTROPY] = pa.array(scores, pa.float64())
    columns["extra_info"] = pa.StructArray.from_arrays(list(fields.values()), names=list(fields))
    return columns
