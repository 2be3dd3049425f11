# SPDX-License-Identifier: Apache-2.0
"""verl's data plane, TransferQueue: every call of ours. For another one this file is to be changed, and no other.

A batch, as verl hands it from step to step, holds keys and tags of rows; their columns stay in the queue and are
fetched and written by key.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import ray
import torch
import transfer_queue as tq
from ray.actor import ActorHandle
from tensordict import NonTensorStack, TensorDict
from transfer_queue import KVBatchMeta
from verl.utils.tensordict_utils import list_of_dict_to_tensordict

Batch: TypeAlias = KVBatchMeta
"""keys: one a row; tags: a dict of lengths and marks for each; partition_id; extra_info: of the whole batch."""


def read(batch: Batch, keys: Sequence[str], fields: Sequence[str] | None = None) -> dict[str, list]:
    """Columns of these rows, each as one entry a row. A row cut out of a batch cuts every column anew, 4 ms each.

    Args:
        batch: whose partition holds the rows.
        keys: of the rows, at least one.
        fields: names of the columns; None: all. Unknown ones are passed over.
    """
    data = _get(batch, keys, fields)
    return {name: _as_list(data[name]) for name in data.keys()}


def read_padded(batch: Batch, fields: Sequence[str]) -> TensorDict:
    """Tensor columns of all rows of a batch, padded on the right with zeros to [rows, longest]."""
    return _get(batch, batch.keys, fields).to_padded_tensor()


def write(batch: Batch, rows: Mapping[str, Mapping[str, Any]], tags: Sequence[dict[str, Any]] | None = None) -> None:
    """Write columns of rows by key; rows that do not exist are made. Without a row nothing happens.

    Args:
        batch: whose partition holds the rows.
        rows: columns by key, the same for each.
        tags: one for each row; None: those that are there stay.
    """
    if rows:
        fields = list_of_dict_to_tensordict([dict(row) for row in rows.values()])
        more = {} if tags is None else {"tags": list(tags)}
        tq.kv_batch_put(keys=list(rows), partition_id=batch.partition_id, fields=fields, **more)


def clear(batch: Batch, keys: Sequence[str]) -> None:
    """Take rows out of the queue."""
    if keys:
        tq.kv_clear(keys=list(keys), partition_id=batch.partition_id)


def batch_of(batch: Batch, keys: Sequence[str], tags: Sequence[dict[str, Any]]) -> Batch:
    """A batch of other rows of the same partition."""
    return Batch(
        partition_id=batch.partition_id, keys=list(keys), tags=list(tags), fields=None, extra_info=batch.extra_info
    )


def processes() -> list[ActorHandle]:
    """The actors that hold the queue: its storage, and the controller that all jobs of a cluster share."""
    storage = [ray.get_actor(name) for name in ray.util.list_named_actors() if name.startswith("TransferQueueStorage")]
    return [*storage, ray.get_actor("TransferQueueController", namespace="transfer_queue")]


def _get(batch: Batch, keys: Sequence[str], fields: Sequence[str] | None) -> TensorDict:
    wanted = None if fields is None else list(fields)
    return tq.kv_batch_get(keys=list(keys), partition_id=batch.partition_id, select_fields=wanted)


def _as_list(column: Any) -> list:
    if isinstance(column, torch.Tensor):
        return list(column.unbind())
    return column.tolist() if isinstance(column, NonTensorStack) else list(column)
