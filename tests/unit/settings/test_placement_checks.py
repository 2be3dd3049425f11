# SPDX-License-Identifier: Apache-2.0
"""Settings that contradict the place of the repair model, or would be ignored there."""

from typing import Any, get_args

import pytest

from tests.unit.adapters.support import composed
from tests.unit.endpoint_fake import MODEL, says, serve
from verl_df.adapters.policy_training.placements.registry import PLACEMENTS
from verl_df.io.validation import annotation_at
from verl_df.settings.config import ConfigError, DFConfig, RepairConfig, load_df_config
from verl_df.settings.endpoint_checks import check_repair_endpoint
from verl_df.settings.placement_checks import TEMPLATE_TOKENS, check_placement, repair_prompt_length

LENGTHS = (
    "data.max_prompt_length=100",
    "data.max_response_length=30",
    "actor_rollout_ref.rollout.tensor_model_parallel_size=1",
)
WANTED = 100 + 2 * 30 + TEMPLATE_TOKENS + 30


def refused(*overrides: str, match: str, **repair: Any) -> None:
    with pytest.raises(ConfigError, match=match) as error:
        check_placement(composed(*LENGTHS, *overrides), RepairConfig(**repair))
    assert "\n" not in str(error.value)


def test_every_choice_has_a_placement() -> None:
    assert set(get_args(annotation_at(DFConfig, ("repair", "placement")))) == set(PLACEMENTS)
    with pytest.raises(ConfigError, match="df.repair.placement='remot'; did you mean 'remote'"):
        load_df_config({"repair": {"placement": "remot"}})


@pytest.mark.parametrize("placement", ["colocated", "dedicated", "policy", "remote"])
def test_settings_that_go_together_pass(placement: str) -> None:
    own = {"model_path": "m"} if placement in ("colocated", "dedicated") else {}
    own |= {"remote": {"base_url": "http://h/v1", "model": "m"}} if placement == "remote" else {}
    config = composed(*LENGTHS, f"actor_rollout_ref.rollout.max_model_len={WANTED}")
    check_placement(config, RepairConfig(placement=placement, **own))


@pytest.mark.parametrize("placement", ["policy", "remote"])
def test_a_repair_model_that_would_be_ignored(placement: str) -> None:
    refused(placement=placement, model_path="m", match=f"placement={placement}: .* leave df.repair.model_path out")
    refused(placement=placement, models_dir="m", match="m/full would be ignored")
    refused(placement=placement, rollout={"dtype": "float16"}, match="df.repair.rollout would be ignored")


@pytest.mark.parametrize("placement", ["colocated", "dedicated", "policy"])
def test_an_endpoint_that_would_be_ignored(placement: str) -> None:
    refused(placement=placement, remote={"base_url": "http://h/v1"}, match="http://h/v1 would be ignored: .*set it to")


@pytest.mark.parametrize("placement", ["colocated", "dedicated"])
def test_keys_of_the_engine(placement: str) -> None:
    own = {"placement": placement, "model_path": "m"}
    refused(**own, rollout={"gpu_memory": 1}, match="unknown key 'df.repair.rollout.gpu_memory'.*gpu_memory_util")
    determined = "actor_rollout_ref.rollout.full_determinism=True"
    refused(determined, **own, match="set df.repair.rollout.full_determinism=False")
    check_placement(composed(*LENGTHS, determined), RepairConfig(**own, rollout={"full_determinism": False}))


@pytest.mark.parametrize(("longest", "given"), [(WANTED - 1, {}), ("null", {}), (100, {"max_prompt_length": 80})])
def test_the_policys_engine_has_to_take_a_repair_prompt(longest: Any, given: dict[str, int]) -> None:
    wanted = 110 if given else WANTED
    override = f"actor_rollout_ref.rollout.max_model_len={longest}"
    refused(override, placement="policy", **given, match=f"set actor_rollout_ref.rollout.max_model_len={wanted}, or")


def test_the_policys_engine_must_give_requests_their_own_names() -> None:
    overrides = (f"actor_rollout_ref.rollout.max_model_len={WANTED}", "actor_rollout_ref.rollout.full_determinism=True")
    refused(*overrides, placement="policy", match="set it to False")


def test_devices_of_its_own() -> None:
    own = {"placement": "dedicated", "model_path": "m"}
    refused(**own, dedicated={"n_gpus_per_node": 3}, rollout={"tensor_model_parallel_size": 2}, match="has 3 GPUs.* 2")
    small = ("run=toy", "ray_kwargs.ray_init.num_gpus=2")
    refused(
        *small, **own, dedicated={"n_gpus_per_node": 2}, match="are 3 together, .* set ray_kwargs.ray_init.num_gpus=3"
    )
    check_placement(composed(*small), RepairConfig(**own))


def test_the_length_of_a_repair_prompt() -> None:
    assert repair_prompt_length(None, 100, 30) == 100 + 2 * 30 + TEMPLATE_TOKENS
    assert repair_prompt_length(77, 100, 30) == 77


def test_the_endpoint_is_asked_before_the_run() -> None:
    with serve(says("hello")) as server:
        where = {"base_url": server.url, "model": MODEL, "max_retries": 0}
        check_repair_endpoint(RepairConfig(placement="remote", remote=where))
        with pytest.raises(ConfigError, match=r"df.repair.remote: .* has no model 'other'; it serves \['fake-model'\]"):
            check_repair_endpoint(RepairConfig(placement="remote", remote={**where, "model": "other"}))
    with pytest.raises(ConfigError, match="df.repair.remote: .*unreachable"):
        check_repair_endpoint(RepairConfig(placement="remote", remote=where))
    with pytest.raises(ConfigError, match="df.repair.remote: base_url='': write a URL"):
        check_repair_endpoint(RepairConfig(placement="remote"))
    check_repair_endpoint(RepairConfig(model_path="m"))  # nobody is asked
