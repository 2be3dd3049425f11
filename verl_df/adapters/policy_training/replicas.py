# SPDX-License-Identifier: Apache-2.0
"""Rollout replicas that are started anew when they died or stopped answering, as verl's are not.

A replica's servers are Ray actors that start processes of their own. Of a frozen one nothing ends by itself, and what
is left of it would keep the device's memory: all of its processes are killed, on the node where they are.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import psutil
import ray
from ray.actor import ActorHandle
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from verl.workers.rollout.replica import RolloutReplica

logger = logging.getLogger(__name__)

Call = Callable[[RolloutReplica], Awaitable[Any]]


@dataclass(frozen=True)
class Processes:
    """A server's processes. node: id of Ray's node. found: process id and time of creation of each, itself first."""

    node: str
    found: tuple[tuple[int, float], ...]

    @classmethod
    def here(cls, _: Any = None) -> "Processes":
        """This process and all below it."""
        this = psutil.Process()
        tree = [this, *this.children(recursive=True)]
        return cls(ray.get_runtime_context().get_node_id(), tuple((one.pid, one.create_time()) for one in tree))

    async def kill(self) -> None:
        """On its node; what is gone already is passed over."""
        there = NodeAffinitySchedulingStrategy(node_id=self.node, soft=False)
        await ray.remote(_kill).options(num_cpus=0, scheduling_strategy=there).remote(self.found)


def _kill(processes: Sequence[tuple[int, float]]) -> None:
    for pid, created in processes:
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            if process.create_time() == created:
                process.kill()


@dataclass
class LivingReplicas:
    """Replicas and the router in front of them.

    Attributes:
        replicas: started.
        router: verl's load balancer.
        timeout_s: seconds that a replica may take for one call.
        restarts: how many were started anew so far.
    """

    replicas: Sequence[RolloutReplica]
    router: ActorHandle
    timeout_s: float
    restarts: int = 0
    _processes: dict[str, list[Processes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        asyncio.run(self._note(self.replicas))

    @property
    def addresses(self) -> list[str]:
        """host:port of each."""
        return [replica.server_address for replica in self.replicas]

    def ask(self, call: Call) -> None:
        """Make a call of every replica. One that died, or is not done in `timeout_s`, is started anew and asked again.

        Raises:
            TimeoutError: a new one takes too long as well.
            RayError: a new one died as well, or cannot be started.
        """
        asyncio.run(self._ask(call))

    async def _ask(self, call: Call) -> None:
        answers = await asyncio.gather(*(self._in_time(call(one)) for one in self.replicas), return_exceptions=True)
        for replica, answer in zip(self.replicas, answers, strict=True):
            if isinstance(answer, TimeoutError | RayError):
                logger.warning("%s does not answer and is started anew: %r", replica.server_address, answer)
                await self._start_anew(replica)
                await self._in_time(call(replica))
            elif isinstance(answer, BaseException):
                raise answer

    async def _in_time(self, answer: Awaitable[Any]) -> None:
        async with asyncio.timeout(self.timeout_s):
            await answer

    async def _start_anew(self, replica: RolloutReplica) -> None:
        old = replica.server_address
        await asyncio.gather(*(processes.kill() for processes in self._processes.pop(old)))
        for server in replica.servers:
            ray.kill(server)  # its name is free again
        replica.servers.clear()
        await replica.launch_servers()
        await self._note([replica])
        await self.router.remove_servers.remote([old])
        await self.router.add_servers.remote({replica.server_address: replica.server_handle})
        self.restarts += 1

    async def _note(self, replicas: Sequence[RolloutReplica]) -> None:
        for replica in replicas:
            found = [server.__ray_call__.remote(Processes.here) for server in replica.servers]
            self._processes[replica.server_address] = await asyncio.gather(*found)
