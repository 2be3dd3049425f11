# SPDX-License-Identifier: Apache-2.0
"""The file of one rank, read as tensors and nothing else."""

from pathlib import Path
from typing import Any

import torch
import torch.distributed.tensor  # tells torch that its sharded tensors may be loaded


def load_shard(path: Path) -> dict[str, Any]:
    """Tensors by name, mapped and not read. No code that the file names is run.

    Raises:
        ValueError: the file holds anything but tensors, or is broken.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # of a broken pickle: whatever its bytes lead to
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ValueError(
            f"{path}: no shard of tensors alone: the save was cut off, or the file is not of verl's trainer ({reason})"
        ) from error
    if not isinstance(content, dict) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise ValueError(f"{path}: a shard holds tensors by their names; this file holds something else")
    return content
