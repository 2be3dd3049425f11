# SPDX-License-Identifier: Apache-2.0
"""Groups on their way to the reward workers: sent as soon as all rollouts of a prompt are there, collected in an order
of their own.

What comes back depends on neither the order nor the hour in which groups were sent: a group's reference and seeds
follow from its prompt and the step, and the batch is put together in the order of `GroupRow.place`.
"""

import functools
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import ray
import torch
from ray.actor import ActorHandle
from ray.exceptions import GetTimeoutError
from tensordict import TensorDict
from verl import DataProto

from verl_df.adapters.data_plane import Batch
from verl_df.adapters.policy_training.group_exchange import CLIENT, GROUP, GroupAnswer, GroupRow
from verl_df.adapters.policy_training.placement import Hours, Placement
from verl_df.adapters.policy_training.rows import uid_of
from verl_df.method.repair import Rejection

if TYPE_CHECKING:  # verl's trainers import our trainer, which imports this module
    from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer

TRAIN = "train"


class GroupStream:
    """The groups of one step.

    Args:
        workers: verl's `RewardLoopWorker`s, which take turns.
        placement: of the repair model; groups wait here while it is asleep.
        timeout_s: seconds that collecting may take: a reward worker that hangs must end the run, not hang it too.
            Rollouts that the repair engine has not answered are given up before.
    """

    def __init__(self, workers: Sequence[ActorHandle], placement: Placement, timeout_s: float):
        self._workers, self._placement, self._timeout_s = workers, placement, timeout_s
        self._rows: dict[str, GroupRow] = {}
        self._calls: dict[str, Any] = {}
        self._early, self._waited = 0, 0.0
        self._opened: float | None = None

    def knows(self, uid: str) -> bool:
        """Whether the prompt's group is here."""
        return uid in self._rows

    def add(self, row: GroupRow, early: bool = False) -> None:
        """Take a complete group, and send it if the repair model answers now. early: others are still sampled."""
        self._rows[row.request.uid] = row
        self._early += early
        if self._placement.hours is not Hours.PHASE:
            self._send(row)

    def end_sampling(self) -> None:
        """To be called before the rollout engine sleeps: waits for the repairs that it makes itself, those of prompts
        that were not sampled in the end too.
        """
        if self._placement.hours is Hours.SAMPLING:
            start = time.perf_counter()
            self._get(list(self._calls.values()))
            self._waited += time.perf_counter() - start

    def collect(self, uids: Iterable[str]) -> tuple[list[GroupRow], list[GroupAnswer], dict[str, float]]:
        """The groups of these prompts with their answers, in the order of `GroupRow.place`, and metrics of the wait:
        seconds of the caller, and from the first group that was sent to the last answer.

        All other groups are forgotten.

        Raises:
            TimeoutError: the answers took longer than `timeout_s`.
        """
        start = time.perf_counter()
        rows = sorted((self._rows[uid] for uid in uids), key=lambda row: row.place)
        with self._placement.awake():
            for row in rows:
                if row.request.uid not in self._calls:
                    self._send(row)
            answers = self._get([self._calls[row.request.uid] for row in rows])
            self._placement.settle(*_unanswered(answers))
        end = time.perf_counter()
        metrics = {
            "df/repair_seconds": self._waited + end - start,
            "df/repair_open_seconds": end - (start if self._opened is None else self._opened),
            "df/groups_early": float(self._early),
        }
        self._rows.clear()
        self._calls.clear()
        self._early, self._waited, self._opened = 0, 0.0, None
        return rows, answers, metrics

    def _send(self, row: GroupRow) -> None:
        if self._opened is None:
            self._opened = time.perf_counter()
        worker = self._workers[len(self._calls) % len(self._workers)]
        column = np.empty(1, dtype=object)
        column[0] = row
        data = DataProto(
            batch=TensorDict({"dummy": torch.zeros(1, 1)}, batch_size=1),
            non_tensor_batch={GROUP: column},
            meta_info={CLIENT: self._placement.connection},
        )
        self._calls[row.request.uid] = worker.compute_score_batch.remote(data)

    def _get(self, calls: list[Any]) -> list[GroupAnswer]:
        try:
            answers = ray.get(calls, timeout=self._timeout_s)
        except GetTimeoutError as error:
            raise TimeoutError(
                f"the repairs of {len(calls)} prompts took longer than {self._timeout_s:.0f} s, twice "
                "df.repair.timeout_s: raise it, or look at the reward workers, which may wait for a judge"
            ) from error
        return [answer[0][GROUP] for answer in answers]


def _unanswered(answers: Sequence[GroupAnswer]) -> tuple[int, int]:
    """Rollouts that were sent to the repair model, and those of them that it gave no answer for."""
    attempts = [attempt for answer in answers for attempt in answer.attempts]
    return len(attempts), sum(Rejection.NO_ANSWER in attempt.rejections for attempt in attempts)


def watch(buffer: "ReplayBuffer", early: Callable[[Batch], object], full: Callable[[Batch], object]) -> None:
    """Tell of training prompts whose rollouts are complete while the buffer waits for more.

    Prompts that verl's own rules have thrown out by then are not among them, so nothing is repaired that dynamic
    sampling has filtered.

    Args:
        buffer: whose polling and sampling are followed.
        early: called with the rollouts of all finished prompts each time the buffer goes to wait, the same ones again
            and again.
        full: called with the sampled batch, before anything else is done with it.
    """
    wait, sample = buffer._wait_for_next_poll, buffer.sample

    @functools.wraps(wait)
    def wait_for_next_poll(partition_id: str, last_debug_time: float) -> float:
        if partition_id == TRAIN:
            early(_finished(buffer))
        return wait(partition_id, last_debug_time)

    @functools.wraps(sample)
    def sampled(*args: Any, **kwargs: Any) -> tuple[Batch, dict]:
        batch, metrics = sample(*args, **kwargs)
        if batch.partition_id == TRAIN:
            full(batch)
        return batch, metrics

    buffer._wait_for_next_poll, buffer.sample = wait_for_next_poll, sampled


def _finished(buffer: "ReplayBuffer") -> Batch:
    done, rows = buffer.finished_keys[TRAIN], buffer.partitions[TRAIN]
    keys = [key for key in rows if uid_of(key) in done]
    return Batch(partition_id=TRAIN, keys=keys, tags=[rows[key] for key in keys])
