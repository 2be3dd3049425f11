# SPDX-License-Identifier: Apache-2.0
"""One more pass of the policy over the rows of a batch, in which it sees something else."""

from collections.abc import Callable
from typing import Any

import torch
from verl.workers.utils.padding import response_from_nested

from verl_df.adapters import data_plane
from verl_df.adapters.data_plane import Batch


def further_pass(call: Callable[[Batch], object], batch: Batch, column: str, temperature: float, **asked: Any) -> None:
    """Write a column of log-probabilities, float32 [response_length], of every row of a batch.

    Args:
        call: a method of the policy's worker group that leaves log-probabilities of whole sequences in the column.
        batch: its rows.
        column: its name. Other inputs must end with the row's own response.
        temperature: of the log-probabilities, that of the rollouts.
        asked: what the workers are told beside it, for this pass alone.
    """
    batch.extra_info.update({"calculate_entropy": False, "compute_loss": False, "temperature": temperature, **asked})
    call(batch)
    for name in asked:
        del batch.extra_info[name]
    data = data_plane.read(batch, batch.keys, [column, "response_mask"])
    nested = [torch.nested.as_nested_tensor(data[name], layout=torch.jagged) for name in (column, "response_mask")]
    rows = zip(batch.keys, response_from_nested(*nested).unbind(), strict=True)
    data_plane.write(batch, {key: {column: row} for key, row in rows})
