# SPDX-License-Identifier: Apache-2.0
"""A run whose repair model is in all four places at once, and ends if two of them answer differently.

One start of Ray, of the trainer and of the rollout engine serves the whole comparison. The policy of the run has to be
the repair model, for `policy` repairs with it. The endpoint of `remote` may die: its answer is the one that counts.
"""

import asyncio
import os
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

from recipe.df.main_df import DFTaskRunner
from verl_df.adapters.policy_training.placement import Connection, Hours, Placement, Probe, RepairModel, Site
from verl_df.adapters.policy_training.placements import registry
from verl_df.method.feedback import NoRepair, RepairSample
from verl_df.settings.config import RemoteConfig, RepairConfig

URL = "REPAIR_URL"  # environment variable: of the endpoint
MODEL = "repair"  # its name there


class EveryPlacement:
    """A `Placement` made of all others, at the hours of the policy's own engine, which holds requests back later."""

    hours, self_test, devices = Hours.SAMPLING, True, 1

    def __init__(self, site: Site) -> None:
        elsewhere = RemoteConfig(base_url=os.environ[URL], model=MODEL)
        site = replace(site, repair=replace(site.repair, remote=elsewhere))
        self._places: dict[str, Placement] = {name: kind(site) for name, kind in ALL.items()}
        self._awake = self._places["colocated"].awake()
        self._awake.__enter__()  # for good: on a CPU there is room for all
        self.connection = EveryConnection({name: one.connection for name, one in self._places.items()}, site.repair)

    def metrics(self) -> dict[str, float]:
        return self._places["colocated"].metrics()

    def settle(self, asked: int, unanswered: int) -> None:
        """The servers are not to be mended."""

    def awake(self) -> Any:
        return nullcontext()


ALL = dict(registry.PLACEMENTS)


@dataclass(frozen=True)
class EveryConnection:
    """A `Connection` to all of them."""

    connections: dict[str, Connection]
    repair: RepairConfig

    def open(self, repair: RepairConfig, max_concurrency: int) -> "EveryModel":
        return EveryModel({name: one.open(self.repair, max_concurrency) for name, one in self.connections.items()})


class EveryModel:
    """A `RepairModel`. Raises: AssertionError where two places differ."""

    def __init__(self, models: dict[str, RepairModel]) -> None:
        self._models = models

    async def sample(self, messages: list[dict[str, Any]], seeds: Sequence[int], session: str) -> list[RepairSample]:
        # the policy's engine gets its weights after the self-test
        asked = [name for name in self._models if name != "policy" or not session.startswith("selftest")]
        calls = [self._models[name].sample(messages, seeds, session) for name in asked]
        found = dict(zip(asked, await asyncio.gather(*calls, return_exceptions=True), strict=True))
        remote = found.pop("remote")
        expected = found["colocated"]
        assert isinstance(expected, list), f"colocated: {expected!r}"
        assert all(answer == expected for answer in found.values()), f"places differ: {found}"
        if isinstance(remote, NoRepair):
            raise remote
        assert remote == expected, f"remote: {remote!r} against {expected}"
        return remote

    async def probe(self, messages: list[dict[str, Any]]) -> Probe:
        dedicated = await self._models["dedicated"].probe(messages)
        remote = await self._models["remote"].probe(messages)
        pairs = list(zip(dedicated.log_probs, remote.log_probs, strict=False))
        assert pairs and all(abs(ours - theirs) < 1e-3 for ours, theirs in pairs), f"log-probabilities: {pairs}"
        return dedicated


class EveryTaskRunner(DFTaskRunner):
    """The recipe's, with all places in the one that the settings name."""

    def run(self, config: Any) -> None:
        registry.PLACEMENTS["colocated"] = EveryPlacement
        super().run(config)
