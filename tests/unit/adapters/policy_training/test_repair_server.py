# SPDX-License-Identifier: Apache-2.0
"""The repair engine's config and its hours, and the repair model in front of it."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from omegaconf import OmegaConf
from omegaconf.errors import ConfigKeyError
from PIL import Image
from ray.exceptions import ActorDiedError, RayTaskError
from verl.utils.config import omega_conf_to_dataclass
from verl.workers.config import HFModelConfig, RolloutConfig
from verl.workers.rollout.replica import TokenOutput

from tests.unit.adapters.support import composed
from verl_df.adapters.policy_training.placements.colocated import Colocated
from verl_df.adapters.policy_training.repair_client import EngineRepairModel, end_token_ids, placeholder_ids
from verl_df.adapters.policy_training.repair_server import SEED_OFFSET, RepairServer, repair_run_config
from verl_df.adapters.policy_training.replicas import LivingReplicas
from verl_df.adapters.policy_training.unanswered import SilentSteps
from verl_df.lab.toy.model import save_model
from verl_df.lab.toy.settings import ModelSettings
from verl_df.lab.toy.world import CELL, GRID
from verl_df.method.feedback import NoRepair, PromptTooLong
from verl_df.method.repair import Rejection
from verl_df.settings.config import RepairConfig
from verl_df.settings.placement_checks import TEMPLATE_TOKENS
from verl_df.settings.speculation import draft_room

SIDE = CELL * GRID  # pixels of a toy picture; a cell is one visual token
LENGTHS = ("data.max_prompt_length=100", "data.max_response_length=30", "actor_rollout_ref.rollout.name=vllm")


def test_the_repair_engine_sees_the_runs_config_with_its_own_model_and_lengths() -> None:
    config = composed(*LENGTHS, "actor_rollout_ref.model.trust_remote_code=True", "+actor_rollout_ref.rollout.odd=1")
    before = OmegaConf.to_container(config)
    repair = RepairConfig(model_path="repair", temperature=0.5, top_p=0.9)
    seen = repair_run_config(config, repair).actor_rollout_ref
    assert OmegaConf.to_container(config) == before
    assert (seen.model.path, seen.model.trust_remote_code) == ("repair", True)
    rollout, policy = seen.rollout, config.actor_rollout_ref.rollout
    assert rollout.load_format == "auto"  # the policy's engine starts from dummy weights
    assert rollout.seed == policy.seed + SEED_OFFSET
    assert (rollout.temperature, rollout.top_p, rollout.calculate_log_probs) == (0.5, 0.9, False)
    assert rollout.prompt_length == 100 + 2 * 30 + TEMPLATE_TOKENS  # question, response and reference fit
    assert (rollout.response_length, rollout.max_model_len) == (30, rollout.prompt_length + 30 + draft_room(30))
    assert rollout.engine_kwargs.vllm.speculative_config.method == "ngram"
    assert policy.engine_kwargs.vllm == {}  # only repairs are speculated
    assert (rollout.name, rollout.odd) == (policy.name, 1)


def test_repairs_are_sampled_at_the_temperature_of_the_rollouts() -> None:
    config = composed("actor_rollout_ref.rollout.temperature=0.6")
    for given, taken in ((None, 0.6), (0.3, 0.3), (0.0, 0.0)):
        repair = RepairConfig(model_path="repair", temperature=given, n=1)
        assert repair_run_config(config, repair).actor_rollout_ref.rollout.temperature == taken


def test_the_repair_engine_loads_the_variant_of_a_folder_of_models() -> None:
    repair = RepairConfig(models_dir="models", variant="no_c1")
    assert repair_run_config(composed(*LENGTHS), repair).actor_rollout_ref.model.path == "models/no_c1"


def test_verl_accepts_the_repair_engines_config() -> None:
    rollout = repair_run_config(composed(*LENGTHS), RepairConfig(model_path="repair")).actor_rollout_ref.rollout
    assert isinstance(omega_conf_to_dataclass(rollout), RolloutConfig)


def test_keys_may_be_set_differently_for_the_repair_engine() -> None:
    changes = {"gpu_memory_utilization": 0.2, "engine_kwargs": {"vllm": {"swap_space": 1}}}
    repair = RepairConfig(model_path="repair", max_prompt_length=77, speculation="off", rollout=changes)
    config = composed(*LENGTHS, "+actor_rollout_ref.rollout.engine_kwargs.vllm.other=2")
    rollout = repair_run_config(config, repair).actor_rollout_ref.rollout
    assert (rollout.gpu_memory_utilization, rollout.prompt_length, rollout.max_model_len) == (0.2, 77, 107)
    assert OmegaConf.to_container(rollout.engine_kwargs.vllm) == {"other": 2} | {"swap_space": 1}


def test_a_key_that_verl_does_not_know_is_refused() -> None:
    with pytest.raises(ConfigKeyError, match="gpu_memory"):
        repair_run_config(composed(), RepairConfig(model_path="repair", rollout={"gpu_memory": 0.2}))


# ---- awake and asleep ------------------------------------------------------------------------------------------------


class Replica:
    """Stands for verl's: notes what it is asked."""

    def __init__(self, calls: list[str], name: str) -> None:
        self.calls, self.name, self.server_address, self.servers = calls, name, name, []

    async def wake_up(self) -> None:
        self.calls.append(f"wake {self.name}")

    async def sleep(self) -> None:
        self.calls.append(f"sleep {self.name}")

    async def abort_all_requests(self) -> None:
        self.calls.append(f"abort {self.name}")

    async def resume_generation(self) -> None:
        self.calls.append(f"resume {self.name}")


def server(calls: list[str]) -> RepairServer:
    made = RepairServer.__new__(RepairServer)
    made._replicas = LivingReplicas([Replica(calls, "a"), Replica(calls, "b")], router=None, timeout_s=60.0)
    made._silent, made._counts_drafts, made._counters = SilentSteps("the repair engine (a)"), False, None
    return made


def colocated(calls: list[str]) -> Colocated:
    made = Colocated.__new__(Colocated)
    made._server = server(calls)
    return made


def test_all_replicas_are_awake_inside_the_block_only() -> None:
    calls: list[str] = []
    with colocated(calls).awake():
        calls.append("repair")
    assert calls == ["wake a", "wake b", "repair", "sleep a", "sleep b"]


def test_a_failed_repair_leaves_the_device_free_and_is_not_hidden() -> None:
    calls: list[str] = []
    with pytest.raises(TimeoutError, match="too long"), colocated(calls).awake():
        raise TimeoutError("too long")
    assert calls[-2:] == ["sleep a", "sleep b"]


def test_requests_of_rollouts_that_were_given_up_are_ended() -> None:
    calls: list[str] = []
    server(calls).settle(asked=4, unanswered=0)
    assert calls == []
    server(calls).settle(asked=4, unanswered=1)
    assert sorted(calls) == ["abort a", "abort b", "resume a", "resume b"]
    assert calls.index("abort a") < calls.index("resume a")


def test_restarts_are_counted_since_the_last_call() -> None:
    made = server([])
    made._replicas.restarts = 2
    assert made.metrics() == {"df/repair/restarts": 2}
    assert made.metrics() == {"df/repair/restarts": 0}


# ---- the model -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("listed", "expected"), [(None, {1}), (2, {1, 2}), ([2, 3], {1, 2, 3}), ([1], {1})])
def test_tokens_that_end_a_response(listed: Any, expected: set[int]) -> None:
    generation = SimpleNamespace(eos_token_id=listed)
    model = SimpleNamespace(tokenizer=SimpleNamespace(eos_token_id=1), generation_config=generation)
    assert end_token_ids(model) == expected
    model.generation_config = None
    assert end_token_ids(model) == {1}


class Server:
    """Stands for the client of the repair server: returns the next of its answers to each request."""

    def __init__(self, config: Any, answers: list[Any]) -> None:
        self.config, self.answers, self.requests = config, answers, []

    async def generate(self, **request: Any) -> TokenOutput:
        self.requests.append(request)
        answer = self.answers[len(self.requests) - 1]
        if answer == "never":
            await asyncio.sleep(3600)
        if isinstance(answer, Exception):
            raise answer
        return TokenOutput(token_ids=answer, stop_reason="completed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("repair")
    save_model(path, ModelSettings(), seed=0)
    return path


def asked(
    folder: Path, answers: list[Any], n: int, image: bool = True, **repair: Any
) -> tuple[list, list[dict], EngineRepairModel]:
    settings = RepairConfig(model_path=str(folder), **repair)
    config = repair_run_config(composed(*LENGTHS), settings)
    client = Server(config, answers)
    picture = [{"type": "image", "image": Image.new("RGB", (SIDE, SIDE))}] if image else []
    content = [*picture, {"type": "text", "text": "How many? " * (1 if image else 30)}]
    messages = [{"role": "user", "content": content}]

    async def call() -> tuple[list, EngineRepairModel]:
        model = EngineRepairModel(client, settings, max_concurrency=2)
        return await model.sample(messages, [*range(100, 100 + n)], session="u"), model

    samples, model = asyncio.run(call())
    return samples, client.requests, model


def test_each_sample_is_a_request_of_its_own_with_its_own_ending(folder: Path) -> None:
    _, _, model = asked(folder, [[1]], 1)
    tokenizer = model._format.tokenizer
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    image = tokenizer.convert_tokens_to_ids("<|image_pad|>")
    answers = [[5, 6, end], [5, 6], [5, image, end], [end, *[5] * 40], []]
    samples, requests, _ = asked(folder, answers, 5, temperature=0.3, top_p=0.8)
    # the requests run side by side, so which one gets which answer is open
    assert {(sample.token_ids, sample.finished, sample.contains_placeholder) for sample in samples} == {
        ((5, 6, end), True, False),
        ((5, 6), False, False),
        ((5, image, end), True, True),
        ((end, *[5] * 29), False, False),  # cut to the response length
        ((), False, False),
    }
    assert {request["request_id"] for request in requests} == {"u"}  # sticky: one engine serves a prompt
    assert len({id(request["prompt_ids"]) for request in requests}) == 1  # prepared once for all samples
    assert sorted(request["sampling_params"]["seed"] for request in requests) == [100, 101, 102, 103, 104]
    for request in requests:
        # the server's own limit would be the room that a rollout's prompt leaves
        assert request["sampling_params"]["max_tokens"] == 30
        assert (request["sampling_params"]["temperature"], request["sampling_params"]["top_p"]) == (0.3, 0.8)
        assert [picture.size for picture in request["image_data"]] == [(SIDE, SIDE)]
        text = tokenizer.decode(request["prompt_ids"])
        assert "How many?" in text and text.count("<|image_pad|>") == GRID * GRID


@pytest.mark.parametrize("image", [True, False])  # verl cuts the beginning off a long text without a word
def test_a_repair_prompt_that_does_not_fit_is_refused(folder: Path, image: bool) -> None:
    with pytest.raises(PromptTooLong, match=r"\d+ tokens, the repair engine takes 20"):
        asked(folder, [[1]], 1, image, max_prompt_length=20)


def of_engine(cause: Exception) -> RayTaskError:
    return RayTaskError("generate", str(cause), cause).as_instanceof_cause()


class EngineDeadError(Exception):
    """As vLLM's."""


@pytest.mark.parametrize("failure", ["never", ActorDiedError(), of_engine(EngineDeadError("its core died"))])
def test_samples_that_do_not_come_are_given_up(folder: Path, failure: Any) -> None:
    """All of a rollout, however many came."""
    with pytest.raises(NoRepair) as none:
        asked(folder, [[1], failure], 2, timeout_s=0.3)
    assert none.value.reason is Rejection.NO_ANSWER


def test_an_error_of_a_living_engine_ends_the_run(folder: Path) -> None:
    with pytest.raises(ValueError, match="no such option"):
        asked(folder, [of_engine(ValueError("no such option"))], 1)


def test_placeholders_are_those_of_the_processor(folder: Path) -> None:
    model = HFModelConfig(path=str(folder))
    tokens = model.tokenizer.convert_ids_to_tokens(sorted(placeholder_ids(model.processor)))
    assert set(tokens) == {"<|image_pad|>", "<|video_pad|>"}
    assert placeholder_ids(None) == frozenset()
