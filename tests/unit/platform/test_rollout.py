# SPDX-License-Identifier: Apache-2.0
"""What the CPU platform saves of a rollout's cost: each patch's effect, and that what comes out is the same."""

import argparse
import asyncio
import copy
import inspect
import os
from types import ModuleType, SimpleNamespace
from typing import Any

import hydra
import pytest
import torch
import verl  # noqa: F401  loads the plugin, which patches
from PIL import Image

from verl_df.platform import cpu_requested, rollout_cpu

needs_cpu_platform = pytest.mark.skipif(not cpu_requested(), reason="VERL_PLATFORM names another platform")

MULTIPROCESSING = "VLLM_ENABLE_V1_MULTIPROCESSING"


class Server:
    """Stands in for verl's server: notes what vLLM would be started with."""

    async def run_server(self, args: argparse.Namespace) -> None:
        self.started = (args.distributed_executor_backend, os.environ.get(MULTIPROCESSING))


@pytest.mark.parametrize(("ranks", "started"), [((1, 1), ("uni", "0")), ((2, 1), ("mp", "1")), ((1, 2), ("mp", "1"))])
def test_an_engine_of_one_rank_is_one_process(
    ranks: tuple[int, int], started: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MULTIPROCESSING, "1")
    module = ModuleType("server")
    module.vLLMHttpServer, module.SamplingParams = type("Patched", (Server,), {}), dict
    rollout_cpu.patch_server(module)
    server, (tensor, pipeline) = module.vLLMHttpServer(), ranks
    arguments = {"tensor_parallel_size": tensor, "pipeline_parallel_size": pipeline}
    asyncio.run(server.run_server(argparse.Namespace(distributed_executor_backend="mp", **arguments)))
    assert server.started == started


def test_vllm_takes_one_process_only_with_the_variable() -> None:
    """What `patch_server` relies on in vLLM's CPU platform."""
    source = inspect.getsource(pytest.importorskip("vllm.platforms.cpu").CpuPlatform)
    assert f'os.environ.get("{MULTIPROCESSING}", "1") == "1"' in source


@needs_cpu_platform
def test_the_server_asks_vllm_for_whole_responses() -> None:
    server = pytest.importorskip("verl.workers.rollout.vllm_rollout.vllm_async_server")
    from vllm.sampling_params import RequestOutputKind, SamplingParams

    ours = server.SamplingParams(max_tokens=3, temperature=0.5, top_p=0.9, logprobs=0)
    assert (ours.output_kind, ours.detokenize) == (RequestOutputKind.FINAL_ONLY, False)
    plain = SamplingParams(max_tokens=3, temperature=0.5, top_p=0.9, logprobs=0)
    plain.output_kind, plain.detokenize = ours.output_kind, ours.detokenize
    assert repr(ours) == repr(plain)  # nothing that decides what is sampled
    assert server.SamplingParams(stop=["</answer>"]).detokenize  # which vLLM needs to find a text


@needs_cpu_platform
def test_an_agent_loop_is_its_class_called() -> None:
    from verl.experimental.agent_loop import agent_loop

    target, tokenizer = {"_target_": "types.SimpleNamespace"}, object()
    built = agent_loop.hydra.utils.instantiate(config=target, tokenizer=tokenizer, tools={"a": 1})
    assert isinstance(built, SimpleNamespace) and built.tokenizer is tokenizer
    assert type(built.tools) is dict  # hydra makes it a DictConfig
    assert agent_loop._agent_loop_registry["single_turn_agent"].keys() == {"_target_"}


@needs_cpu_platform
def test_an_agent_loop_with_settings_is_built_by_hydra() -> None:
    from verl.experimental.agent_loop import agent_loop

    nested = {"_target_": "types.SimpleNamespace", "inner": {"_target_": "types.SimpleNamespace", "turns": 3}}
    assert agent_loop.hydra.utils.instantiate(config=nested, tools=[]).inner.turns == 3


def test_an_agent_loop_without_hydra_is_refused() -> None:
    with pytest.raises(AttributeError, match="hydra"):
        rollout_cpu.patch_agent_loop(ModuleType("agent_loop"))


def test_hydra_itself_is_left_alone() -> None:
    module = ModuleType("agent_loop")
    module.hydra = hydra
    before = hydra.utils.instantiate
    rollout_cpu.patch_agent_loop(module)
    assert hydra.utils.instantiate is before and module.hydra is not hydra


class CountingProcessor:
    """An image processor that counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, images: list[Image.Image], **options: Any) -> dict[str, Any]:
        self.calls += 1
        return {"pixel_values": torch.tensor([image.getpixel((0, 0)) for image in images]), **options}


@pytest.fixture
def counting() -> CountingProcessor:
    """A patched processor of its own class."""
    module = ModuleType("image_processing_utils")
    module.BaseImageProcessor = type("Patched", (CountingProcessor,), {})
    rollout_cpu.patch_image_processing(module)
    return module.BaseImageProcessor()


def picture(shade: int, size: int = 4) -> Image.Image:
    return Image.new("L", (size, size), shade)


def test_a_picture_is_processed_once(counting: CountingProcessor) -> None:
    first = counting([picture(3)], return_tensors="pt")
    first.pop("return_tensors")
    again = counting([picture(3)], return_tensors="pt")  # another object of the same pixels
    assert counting.calls == 1
    assert again["pixel_values"].tolist() == [3] and again["return_tensors"] == "pt"


def test_what_differs_is_processed_anew(counting: CountingProcessor) -> None:
    requests: list[tuple[list[Image.Image], dict]] = [
        ([picture(3)], {}),
        ([picture(4)], {}),
        ([picture(3, size=8)], {}),
        ([picture(3).convert("P")], {}),
        ([picture(3), picture(3)], {}),
        ([picture(3)], {"size": {"shortest_edge": 8}}),
        ([picture(3)], {"size": {"shortest_edge": 9}}),
    ]
    for images, options in requests:
        counting(images, **options)
    assert counting.calls == len(requests)
    other = copy.copy(counting)
    other([picture(3)])
    assert (counting.calls, other.calls) == (len(requests), len(requests) + 1)


def test_what_is_no_list_of_pictures_is_not_kept(counting: CountingProcessor) -> None:
    for _ in range(2):
        counting((picture(3),))
    assert counting.calls == 2


@needs_cpu_platform
def test_a_real_processor_gives_the_same_twice() -> None:
    from transformers.models.qwen2_vl.image_processing_qwen2_vl import Qwen2VLImageProcessor

    processor, colours = Qwen2VLImageProcessor(min_pixels=56 * 56), Image.effect_noise((84, 84), 90).convert("RGB")
    first, again = (processor(images=[colours], return_tensors="pt") for _ in range(2))
    plain = processor.preprocess([colours], return_tensors="pt")
    assert first is not again and first["pixel_values"] is again["pixel_values"]
    for name in ("pixel_values", "image_grid_thw"):
        assert torch.equal(again[name], plain[name])
