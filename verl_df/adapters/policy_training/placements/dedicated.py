# SPDX-License-Identifier: Apache-2.0
"""The repair model on devices of its own, which nothing else uses: always awake."""

from contextlib import AbstractContextManager, nullcontext

from verl.single_controller.ray.base import ResourcePoolManager

from verl_df.adapters.policy_training.placement import Hours, Site
from verl_df.adapters.policy_training.repair_server import ENGINE_NAME, RepairServer

POOL = "df_repair_pool"


class Dedicated:
    """A `Placement`. Raises: ValueError, of verl, where Ray has fewer free devices than `df.repair.dedicated` asks."""

    hours, self_test = Hours.ALWAYS, True

    def __init__(self, site: Site) -> None:
        own = site.repair.dedicated
        pools = ResourcePoolManager({POOL: [own.n_gpus_per_node] * own.nnodes}, mapping={}, max_colocate_count=1)
        pools.create_resource_pool()
        pool = pools.resource_pool_dict[POOL]
        self._server = RepairServer(site.config, site.repair, pool, own.n_gpus_per_node, f"{ENGINE_NAME}_dedicated")
        self.devices = pools.get_n_gpus()
        self.connection = self._server.connection

    def metrics(self) -> dict[str, float]:
        """Of its engines."""
        return self._server.metrics()

    def settle(self, asked: int, unanswered: int) -> None:
        """Servers that died or froze are started anew."""
        self._server.settle(asked, unanswered)

    def awake(self) -> AbstractContextManager[None]:
        """It is."""
        return nullcontext()
