# SPDX-License-Identifier: Apache-2.0
"""A Hugging Face folder from the shards of a checkpoint."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from verl_df.io.lock import only_writer
from verl_df.lab.checkpoint.locate import find_shards

DTYPES = ("auto", "float32", "bfloat16", "float16")


def merge_checkpoint(checkpoint: Path, target: Path, dtype: str = "auto") -> Path:
    """Write the model of `checkpoint` to `target`: weights, configuration, tokenizer, processor, chat template.

    LoRA adapters are folded into the weights. Runs on one CPU whatever trained the model.

    Args:
        checkpoint: as `locate.find_actor`.
        target: a folder that does not exist or is empty; it appears whole or not at all.
        dtype: "auto": as trained; or one of `DTYPES`, to which the weights are rounded.

    Returns:
        `target`.

    Raises:
        FileNotFoundError: as `locate.find_shards`.
        ValueError: the same; `target` holds something, or is being written; the shards are not those of one save of the
            model.
    """
    if dtype not in DTYPES:
        raise ValueError(f"dtype is {dtype!r}: write one of {', '.join(DTYPES)}")
    shards = find_shards(checkpoint)
    check_new(target)
    import torch  # seconds, and so is verl

    from verl_df.lab.checkpoint.lora import fold_adapters, has_adapters
    from verl_df.lab.checkpoint.merger import TrainedDtypeMerger

    chosen = None if dtype == "auto" else getattr(torch, dtype)
    adapted = has_adapters(shards)
    with whole_folder(target) as partial:
        merger = TrainedDtypeMerger(shards, str(partial), None if adapted else chosen)
        merger.merge_and_save()
        if adapted:
            fold_adapters(partial, chosen or merger.dtype)
    return target


def check_new(target: Path) -> None:
    """Raise ValueError unless `target` does not exist or is an empty folder."""
    if target.exists() and not target.is_dir():
        raise ValueError(f"{target}: is a file; give another folder")
    if target.is_dir() and any(target.iterdir()):
        raise ValueError(f"{target}: is not empty; give another folder, or remove it")


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A new folder to write to, renamed to `path` when the block ends without an error and removed otherwise."""
    partial = path.with_name(f"{path.name}.partial")
    with only_writer(path.parent, path.name):
        shutil.rmtree(partial, ignore_errors=True)  # of a process that was ended
        partial.mkdir(parents=True)
        try:
            yield partial
            os.replace(partial, path)  # takes the place of an empty folder, too
        finally:
            shutil.rmtree(partial, ignore_errors=True)
