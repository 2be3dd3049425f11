# SPDX-License-Identifier: Apache-2.0
"""What a placement of the repair model is: a way to samples, and the hours at which it is open."""

import hashlib
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from omegaconf import DictConfig
from verl.single_controller.ray.base import RayResourcePool
from verl.workers.rollout.llm_server import LLMServerManager

from verl_df.method.feedback import RepairSample
from verl_df.settings.config import RepairConfig


class Hours(StrEnum):
    """When a placement answers: always; until the rollout engine is put to sleep; when `awake()` wakes it."""

    ALWAYS = "always"
    SAMPLING = "sampling"
    PHASE = "phase"


@dataclass(frozen=True)
class Probe:
    """A greedy response, for the self-test. tokens: ids, or their texts. log_probs: of each token, in nats."""

    tokens: tuple[Any, ...]
    log_probs: tuple[float, ...]


class RepairModel(Protocol):
    """p_phi as a reward worker sees it."""

    async def sample(self, messages: list[dict[str, Any]], seeds: Sequence[int], session: str) -> list[RepairSample]:
        """Independent samples y-hat ~ p_phi(. | x, y, a) (Eq. 5) for one repair prompt, one for each seed, in order.

        Args:
            messages: the repair prompt.
            seeds: of the samples, below 2^31.
            session: requests of one session go to one engine, whose cache then holds their common beginning: the uid of
                the policy's prompt.

        Raises:
            NoRepair: there are no samples for this prompt; it is counted, and the run goes on.
        """

    async def probe(self, messages: list[dict[str, Any]]) -> Probe:
        """A greedy response. Raises: ValueError or EndpointFailure, which say why the engine cannot be used."""


class Connection(Protocol):
    """How a reward worker reaches the repair model: small, for it travels to other processes."""

    def open(self, repair: RepairConfig, max_concurrency: int) -> RepairModel:
        """The model as this process asks it. max_concurrency: of this process, in samples."""


class Placement(Protocol):
    """The repair model's place in a run."""

    @property
    def hours(self) -> Hours:
        """When it answers."""

    @property
    def self_test(self) -> bool:
        """Whether it has to pass the self-test before training."""

    @property
    def devices(self) -> int:
        """Devices that it has beside the trainer's."""

    @property
    def connection(self) -> Connection:
        """The way to it."""

    def metrics(self) -> dict[str, float]:
        """What its engines counted since the last call, `df/repair/*`."""

    def settle(self, asked: int, unanswered: int) -> None:
        """What came of a step's repairs, told inside `awake()`: a placement of our own mends its servers then.

        Args:
            asked: rollouts that were sent.
            unanswered: those of them that were given up (`Rejection.NO_ANSWER`).

        Raises:
            RuntimeError: the engine does not answer any more.
        """

    def awake(self) -> AbstractContextManager[None]:
        """Inside the block the model answers; the block stands where the policy's rollout engine is asleep."""


@dataclass(frozen=True)
class Site:
    """What a run offers to a placement.

    Attributes:
        config: the whole run's.
        repair: the `df.repair` block.
        actor_pool: on which the actor's workers run.
        rollout: the policy's rollout servers.
    """

    config: DictConfig
    repair: RepairConfig
    actor_pool: RayResourcePool
    rollout: LLMServerManager


def sample_seeds(seed: str, n: int) -> list[int]:
    """Seeds of the n samples for one rollout, in [0, 2^31): a CPU's generator takes no more bits than 32."""
    digests = (hashlib.sha256(f"{seed}-{number}".encode()).digest() for number in range(n))
    return [int.from_bytes(digest[:4]) >> 1 for digest in digests]
