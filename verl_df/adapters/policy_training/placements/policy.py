# SPDX-License-Identifier: Apache-2.0
"""The policy repairs its own rollouts, on the rollout engine, while it is awake for sampling.

A repair LoRA beside the policy on the same engine is not offered: verl 0.9.1 starts vLLM with room for one adapter,
which is the policy's own (`max_loras: 1`), and its server takes no adapter's name with a request.
"""

from contextlib import AbstractContextManager, nullcontext

from verl_df.adapters.policy_training.placement import Hours, Site
from verl_df.adapters.policy_training.repair_server import EngineConnection, repair_run_config
from verl_df.adapters.policy_training.unanswered import SilentSteps


class Policy:
    """A `Placement`."""

    hours, self_test, devices = Hours.SAMPLING, False, 0

    def __init__(self, site: Site) -> None:
        config = repair_run_config(site.config, site.repair)
        self.connection = EngineConnection.to(config, site.rollout.global_load_balancer)
        self._silent = SilentSteps("the policy's engine, which repairs (df.repair.placement=policy),")

    def metrics(self) -> dict[str, float]:
        """None of its own."""
        return {}

    def settle(self, asked: int, unanswered: int) -> None:
        """The servers are verl's, which does not start them anew. Raises: RuntimeError, as `SilentSteps`."""
        self._silent.count(asked, unanswered)

    def awake(self) -> AbstractContextManager[None]:
        """All repairs have come by then."""
        return nullcontext()
