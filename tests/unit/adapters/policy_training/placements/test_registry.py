# SPDX-License-Identifier: Apache-2.0
"""What each place of the repair model starts, and when it answers."""

import asyncio
import pickle
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.adapters.support import composed
from verl_df.adapters.policy_training.placement import Hours, Site
from verl_df.adapters.policy_training.placements import colocated, dedicated, nowhere
from verl_df.adapters.policy_training.placements.registry import PLACEMENTS, place
from verl_df.controls.settings import NEVER_ASKS, Control
from verl_df.method.feedback import NoRepair
from verl_df.method.repair import Rejection
from verl_df.settings.config import RepairConfig

CONFIG = ("actor_rollout_ref.model.path=policy", "data.max_prompt_length=100", "data.max_response_length=30")
OWN = {
    "colocated": {"model_path": "m"},
    "dedicated": {"model_path": "m", "dedicated": {"nnodes": 2, "n_gpus_per_node": 3}},
    "policy": {},
    "remote": {"remote": {"base_url": "http://h/v1", "model": "m"}},
}


class Server:
    """In place of `RepairServer`: notes what it was made of and told."""

    made: list["Server"] = []

    def __init__(self, config: Any, repair: RepairConfig, pool: Any, gpus_per_node: int, name: str) -> None:
        assert name.startswith("df_repair")
        self.pool, self.gpus_per_node, self.told, self.connection = pool, gpus_per_node, [], "to it"
        Server.made.append(self)

    def sleep(self) -> None:
        self.told.append("sleep")

    def wake_up(self) -> None:
        self.told.append("wake")


class Pools:
    """In place of verl's `ResourcePoolManager`, which asks Ray."""

    def __init__(self, spec: dict[str, list[int]], mapping: dict, max_colocate_count: int) -> None:
        self.spec, self.resource_pool_dict, self.shared_by = spec, {}, max_colocate_count

    def create_resource_pool(self) -> None:
        self.resource_pool_dict = {name: (name, tuple(nodes)) for name, nodes in self.spec.items()}

    def get_n_gpus(self) -> int:
        return sum(sum(nodes) for nodes in self.spec.values())


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Server]:
    monkeypatch.setattr(Server, "made", [])
    for module in (colocated, dedicated):
        monkeypatch.setattr(module, "RepairServer", Server)
    monkeypatch.setattr(dedicated, "ResourcePoolManager", Pools)
    return Server.made


def placed(name: str, control: Control = Control.OFF) -> Any:
    rollout = SimpleNamespace(global_load_balancer="rollout servers")
    config = composed(*CONFIG, "trainer.n_gpus_per_node=8")
    return place(Site(config, RepairConfig(placement=name, **OWN[name]), "actor's pool", rollout), control)


@pytest.mark.parametrize("name", list(PLACEMENTS))
def test_hours_and_self_test(made: list[Server], name: str) -> None:
    found = placed(name)
    expected = {
        "colocated": (Hours.PHASE, False, 0),
        "dedicated": (Hours.ALWAYS, True, 6),
        "policy": (Hours.SAMPLING, False, 0),
        "remote": (Hours.ALWAYS, True, 0),
    }
    assert (found.hours, found.self_test, found.devices) == expected[name]


@pytest.mark.parametrize("control", list(Control))
def test_controls_that_never_ask_load_nothing(made: list[Server], control: Control) -> None:
    found = placed("colocated", control)
    assert isinstance(found, nowhere.Nowhere) == (not made) == (control in NEVER_ASKS)


def test_nowhere_has_no_repair_and_says_so_by_a_count() -> None:
    found = nowhere.Nowhere()
    assert (found.hours, found.self_test, found.devices, found.metrics()) == (Hours.ALWAYS, False, 0, {})
    model = pickle.loads(pickle.dumps(found.connection)).open(RepairConfig(), 1)
    with found.awake(), pytest.raises(NoRepair) as no_repair:
        asyncio.run(model.sample([], [1], "u"))
    assert no_repair.value.reason is Rejection.NO_ANSWER
    with pytest.raises(ValueError, match="this control has no repair model"):
        asyncio.run(model.probe([]))


def test_colocated_sleeps_on_the_actors_devices(made: list[Server]) -> None:
    found = placed("colocated")
    (server,) = made
    with found.awake():
        server.told.append("repair")
    assert (server.pool, server.gpus_per_node) == ("actor's pool", 8)
    assert server.told == ["sleep", "wake", "repair", "sleep"]


def test_dedicated_has_devices_that_nobody_shares_and_never_sleeps(made: list[Server]) -> None:
    found = placed("dedicated")
    (server,) = made
    with found.awake():
        server.told.append("repair")
    assert (server.pool, server.gpus_per_node) == ((dedicated.POOL, (3, 3)), 3)
    assert server.told == ["repair"]


def test_the_policy_repairs_on_its_own_servers_with_the_lengths_of_repair_prompts(made: list[Server]) -> None:
    connection = placed("policy").connection
    seen = pickle.loads(connection.config).actor_rollout_ref
    assert connection.router == "rollout servers" and not made
    assert seen.model.path == "policy"
    assert seen.rollout.prompt_length > 100 + 2 * 30 and seen.rollout.response_length == 30


def test_a_remote_model_is_seen_with_the_policys_tokenizer_and_travels_light(made: list[Server]) -> None:
    connection = placed("remote").connection
    assert pickle.loads(connection.config).actor_rollout_ref.model.path == "policy" and not made
    assert pickle.loads(pickle.dumps(connection)) == connection
