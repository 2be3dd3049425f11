# SPDX-License-Identifier: Apache-2.0
"""The repair model on the policy's devices, awake for its own phase: after the rollouts, before the update.

verl's hybrid engine puts the policy's rollout replicas on the actor's devices and lets them sleep while the actor
trains. The repair replicas share those devices in the same way.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from verl_df.adapters.policy_training.placement import Hours, Site
from verl_df.adapters.policy_training.repair_server import ENGINE_NAME, RepairServer


class Colocated:
    """A `Placement`."""

    hours, self_test, devices = Hours.PHASE, False, 0

    def __init__(self, site: Site) -> None:
        trainer = site.config.trainer
        self._server = RepairServer(site.config, site.repair, site.actor_pool, trainer.n_gpus_per_node, ENGINE_NAME)
        self._server.sleep()
        self.connection = self._server.connection

    def metrics(self) -> dict[str, float]:
        """Of its engines."""
        return self._server.metrics()

    def settle(self, asked: int, unanswered: int) -> None:
        """Servers that died or froze are started anew."""
        self._server.settle(asked, unanswered)

    @contextmanager
    def awake(self) -> Iterator[None]:
        """Weights and KV cache on the device inside the block, off it outside (where the engine can sleep)."""
        self._server.wake_up()
        try:
            yield
        finally:
            self._server.sleep()
