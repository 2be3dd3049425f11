# SPDX-License-Identifier: Apache-2.0
"""What several tests of the adapters share: the composed config of the recipe, and stand-ins for models."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig
from tensordict import NonTensorStack, TensorDict
from transfer_queue import KVBatchMeta

from tests import ROOT

CONFIG_FOLDER = ROOT / "recipe/df/config"


def composed(*overrides: str, name: str = "df_trainer") -> DictConfig:
    """The recipe's config as Hydra composes it for its entry point, with verl's files on its search path."""
    return _composed(name, overrides).copy()


@cache  # composing takes half a second
def _composed(name: str, overrides: tuple[str, ...]) -> DictConfig:
    GlobalHydra.instance().clear()
    with initialize_config_dir(config_dir=str(CONFIG_FOLDER), version_base=None):
        return compose(name, overrides=list(overrides))


class Words:
    """A stand-in for a tokenizer: one word per token id, the end token is special."""

    eos_token_id = 0

    def __init__(self, words: Sequence[str]) -> None:
        self.words = ["", *words]

    def decode(self, token_ids: Sequence[int], skip_special_tokens: bool = False) -> str:
        return " ".join(self.words[int(token)] for token in token_ids if int(token))

    def ids(self, text: str) -> tuple[int, ...]:
        """Token ids of a text, the end token included."""
        return (*(self.words.index(word) for word in text.split()), self.eos_token_id)


class MemoryQueue:
    """TransferQueue's key-value functions on a dict, with its habits.

    Tensors come back nested, also where all have one length; unknown fields are passed over; no keys is an error.
    """

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self.tags: dict[str, dict[str, Any]] = {}

    def kv_batch_put(
        self, keys: list[str], partition_id: str, fields: TensorDict | None = None, tags: list[dict] | None = None
    ) -> KVBatchMeta:
        assert keys and len(set(keys)) == len(keys)
        assert fields is None or len(fields) == len(keys)
        for position, key in enumerate(keys):
            row = self.rows.setdefault(key, {})
            if fields is not None:
                row |= {name: fields[position][name] for name in fields.keys()}
            self.tags.setdefault(key, {})
            if tags is not None:
                self.tags[key] |= tags[position]
        return KVBatchMeta(keys=keys, tags=[self.tags[key] for key in keys], partition_id=partition_id)

    def kv_batch_get(self, keys: list[str], partition_id: str, select_fields: list[str] | None = None) -> TensorDict:
        rows = [self.rows[key] for key in keys if key in self.rows]
        if not rows:
            raise ValueError("keys or partition were not found!")
        names = [name for name in rows[0] if select_fields is None or name in select_fields]
        columns = {}
        for name in names:
            values = [row[name] for row in rows]
            if all(isinstance(value, torch.Tensor) for value in values):
                columns[name] = torch.nested.as_nested_tensor(values, layout=torch.jagged)
            else:
                columns[name] = NonTensorStack(*values)
        return TensorDict(columns, batch_size=len(rows))

    def kv_clear(self, keys: list[str], partition_id: str) -> None:
        if not keys:
            raise ValueError("Received an empty list as keys.")
        for key in keys:
            self.rows.pop(key, None)
            self.tags.pop(key, None)

    def kv_list(self, partition_id: str | None = None) -> dict[str, dict]:
        return {"train": dict(self.tags)}
