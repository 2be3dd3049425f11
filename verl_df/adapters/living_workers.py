# SPDX-License-Identifier: Apache-2.0
"""A worker that dies while rollouts are on their way ends the run; verl alone waits for them for good.

verl's trainer hands prompts to the agent loops' workers and polls the queue that rollouts come through. Prompts of a
dead worker never come, and as verl writes a line a minute meanwhile, the run does not look as if it had stalled.
"""

import functools
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import ray
from ray.actor import ActorHandle

if TYPE_CHECKING:  # verl's trainers import our trainer, which imports this module
    from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer

CHECK_EVERY_S = 5.0


class LivingWorkers:
    """Asks workers whether they live, and never waits for an answer.

    Args:
        workers: gives them, at each round of questions.
    """

    def __init__(self, workers: Callable[[], Sequence[ActorHandle]]) -> None:
        self._workers = workers
        self._asked: list[Any] = []

    def check(self) -> None:
        """Look at the answers since the last call, and ask again when all are there: a worker may be busy.

        Raises:
            ray.exceptions.RayActorError: one of them is dead.
        """
        if self._asked:
            answered, self._asked = ray.wait(self._asked, num_returns=len(self._asked), timeout=0)
            ray.get(answered)
        if not self._asked:
            self._asked = [worker.__ray_ready__.remote() for worker in self._workers()]


def end_with_dead_workers(buffer: "ReplayBuffer", workers: Callable[[], Sequence[ActorHandle]]) -> None:
    """Have the buffer look, while it waits for rollouts, whether the workers that it waits for are alive."""
    wait, living, checked = buffer._wait_for_next_poll, LivingWorkers(workers), time.monotonic()

    @functools.wraps(wait)
    def wait_for_next_poll(partition_id: str, last_debug_time: float) -> float:
        nonlocal checked
        if time.monotonic() >= checked + CHECK_EVERY_S:
            living.check()
            checked = time.monotonic()
        return wait(partition_id, last_debug_time)

    buffer._wait_for_next_poll = wait_for_next_poll
