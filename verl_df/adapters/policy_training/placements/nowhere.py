# SPDX-License-Identifier: Apache-2.0
"""No repair model at all, for controls whose repairs come from elsewhere: nothing is loaded, nothing answers."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from verl_df.adapters.policy_training.placement import Hours, Probe
from verl_df.method.feedback import NoRepair, RepairSample
from verl_df.method.repair import Rejection
from verl_df.settings.config import RepairConfig

_WHY = "this control has no repair model"


class NoModel:
    """A `RepairModel` that has no sample for anything, and a `Connection` to itself."""

    def open(self, repair: RepairConfig, max_concurrency: int) -> "NoModel":
        """See `Connection`."""
        return self

    async def sample(self, messages: list[dict[str, Any]], seeds: Sequence[int], session: str) -> list[RepairSample]:
        """Raises: NoRepair, which is counted: the control knows no repair of this rollout."""
        raise NoRepair(Rejection.NO_ANSWER, _WHY)

    async def probe(self, messages: list[dict[str, Any]]) -> Probe:
        """Raises: ValueError."""
        raise ValueError(_WHY)


class Nowhere:
    """A `Placement`."""

    hours, self_test, devices = Hours.ALWAYS, False, 0

    def __init__(self) -> None:
        self.connection = NoModel()

    def metrics(self) -> dict[str, float]:
        """None: there is no engine."""
        return {}

    def settle(self, asked: int, unanswered: int) -> None:
        """Nothing: all are unanswered."""

    def awake(self) -> AbstractContextManager[None]:
        """Nothing to wake."""
        return nullcontext()
