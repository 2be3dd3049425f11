# SPDX-License-Identifier: Apache-2.0
"""Writes what the update saw of the tokens of logged pairs, without a further pass of the policy."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch

from verl_df.adapters import data_plane
from verl_df.adapters.data_plane import Batch
from verl_df.adapters.policy_training.loss import RowUpdates
from verl_df.adapters.policy_training.row_fields import LOGGED
from verl_df.adapters.policy_training.rows import is_repair_key, repair_key
from verl_df.adapters.policy_training.step_log import StepLog
from verl_df.method.records import PairRecord
from verl_df.method.token_arrays import TOKEN_ARRAYS, TOKEN_ARRAYS_FILE, TokenArrays, UpdateSide, rounded

_FIELDS = ("response_mask", "advantages", "old_log_probs", "rollout_log_probs", "entropy", "ref_log_prob")


class TokenLog(StepLog[TokenArrays]):
    """Appends the rows of up to `df.log.token_arrays_per_step` written pairs of a step to `token_arrays.jsonl`.

    A step goes through `expect`, `mark`, `see_advantages` and `write`; where no pair is expected, nothing is kept or
    written.
    """

    def __init__(self, folder: Path, limit: int):
        super().__init__(folder / TOKEN_ARRAYS_FILE, TOKEN_ARRAYS)
        self._limit = limit
        self._pairs: list[str] = []
        self._places: dict[str, int] = {}

    def expect(self, records: Sequence[PairRecord]) -> None:
        """The pairs of this step that were written; drops what an earlier step left."""
        self._pairs = [record.key for record in (records if self._limit < 0 else records[: self._limit])]

    @property
    def wanted(self) -> bool:
        """Whether a pair of this step is to be logged."""
        return bool(self._pairs)

    def mark(self, batch: Batch) -> None:
        """Tell the loss by a column which rows are logged, by their place in the batch.

        To be called before verl writes the advantages: the update reads the columns that were there by then.
        """
        if not self.wanted:
            return
        self._places = {key: place for place, key in enumerate(batch.keys)}
        wanted = {key for pair in self._pairs for key in (pair, repair_key(pair))}
        numbers = {key: place if key in wanted else -1 for key, place in self._places.items()}
        data_plane.write(batch, {key: {LOGGED: torch.tensor([number])} for key, number in numbers.items()})

    def see_advantages(self, advantages: torch.Tensor, weights: torch.Tensor) -> None:
        """advantages: of the batch's rows before the gate. weights: what multiplies them. [rows, response_length]."""
        if self.wanted:
            self._advantages, self._weights = advantages.float().cpu().numpy(), weights.float().cpu().numpy()

    def write(self, step: int, batch: Batch, updates: Iterable[RowUpdates]) -> None:
        """Write one record per pair.

        Args:
            step: training step.
            batch: the same.
            updates: of each process of the actor; several may have seen the same row.
        """
        seen: RowUpdates = {}
        for one in updates:
            seen.update(one)
        key_of = {place: key for key, place in self._places.items()}
        keys = [key_of[place] for place in sorted(seen)]
        columns = data_plane.read(batch, keys, _FIELDS) if keys else {}
        sides = {
            key: self._side(key, seen[place], {name: column[number] for name, column in columns.items()})
            for number, (key, place) in enumerate(zip(keys, sorted(seen), strict=True))
        }
        for pair in self._pairs:
            self.append(TokenArrays(step, pair, sides.get(pair), sides.get(repair_key(pair))))

    def _side(self, key: str, update: dict[str, np.ndarray], row: dict[str, torch.Tensor]) -> UpdateSide:
        place, length = self._places[key], len(row["response_mask"])
        own = {name: values.float().numpy() for name, values in row.items()}
        # a repair's stands for the rollout engine's: it has none
        rollout = None if is_repair_key(key) else own.get("rollout_log_probs")
        reference = own.get("ref_log_prob")
        return UpdateSide(
            trained=tuple(int(value) for value in own["response_mask"]),
            advantage=rounded(self._advantages[place, :length]),
            weight=rounded(self._weights[place, :length]),
            gated_advantage=rounded(own["advantages"]),
            old_log_prob=rounded(own["old_log_probs"]),
            rollout_log_prob=None if rollout is None else rounded(rollout),
            log_prob=rounded(update["log_prob"][:length]),
            ratio=rounded(update["ratio"][:length]),
            clipped=tuple(int(value) for value in update["clipped"][:length]),
            entropy=rounded(own["entropy"]) if "entropy" in own else None,
            ref_kl=None if reference is None else rounded(own["old_log_probs"] - reference),
        )
