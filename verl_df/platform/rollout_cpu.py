# SPDX-License-Identifier: Apache-2.0
"""What a rollout costs on two cores beside the model's arithmetic, and need not; one function per reason.

The figures are processor seconds of one DF-GRPO step of the toy (128 rollouts of 37 tokens, and their repairs): 22 in
all without these patches, 11 with them. Token ids, log-probabilities and what is sampled from are the same either way.
"""

import argparse
import copy
import functools
import os
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any

# Pictures whose processed form a process keeps, 170 kB each on the toy; a step has 16.
KEPT_PICTURES = 64


def patch_server(server: ModuleType) -> None:
    """`verl.workers.rollout.vllm_rollout.vllm_async_server`: one process for an engine, one message for a response.

    verl asks for vLLM's multiprocess executor, whose worker and engine wait for each other in a busy loop on the cores
    that the others need, and takes in every token, as text too, of which it keeps the last list. Without the patch a
    step's two engines take 9.2 s instead of 2.8, their servers 1.5 instead of 1.1, and each engine is one process more.
    """
    original = server.vLLMHttpServer.run_server

    @functools.wraps(original)
    async def run_server(self: Any, args: argparse.Namespace) -> None:
        if args.tensor_parallel_size == args.pipeline_parallel_size == 1:
            args.distributed_executor_backend = "uni"
            # else vLLM takes "mp" again on a CPU, to bind threads to cores; the engine stays a process of its own
            os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
        await original(self, args)

    server.vLLMHttpServer.run_server = run_server
    server.SamplingParams = functools.partial(_whole_responses, server.SamplingParams)


def _whole_responses(sampling_params: Any, **arguments: Any) -> Any:
    from vllm.sampling_params import RequestOutputKind

    needs_text = bool(arguments.get("stop"))
    return sampling_params(output_kind=RequestOutputKind.FINAL_ONLY, detokenize=needs_text, **arguments)


def patch_agent_loop(agent_loop: ModuleType) -> None:
    """`verl.experimental.agent_loop.agent_loop`: build a rollout's agent loop by calling its class.

    Without the patch hydra merges and copies configs for each rollout: a sixth of the agent loop's profile, some 0.8 s.
    """
    original, get_class = agent_loop.hydra.utils.instantiate, agent_loop.hydra.utils.get_class

    @functools.wraps(original)
    def instantiate(config: Any, **arguments: Any) -> Any:
        if set(config) != {"_target_"}:
            return original(config=config, **arguments)
        return get_class(config["_target_"])(**arguments)

    agent_loop.hydra = SimpleNamespace(utils=SimpleNamespace(instantiate=instantiate))


@dataclass(frozen=True)
class _Request:
    """What an image processor is asked for, as a key: the same where pixels and options are."""

    pixels: tuple[tuple[str, tuple[int, int], bytes], ...]
    options: str
    images: list[Any] = field(compare=False)
    keywords: dict[str, Any] = field(compare=False)


def patch_image_processing(image_processing: ModuleType) -> None:
    """`transformers.image_processing_utils`: process a picture once, not three times for each of its rollouts.

    Without the patch it is a twelfth of the agent loop's profile, and vLLM's server does it again.
    """
    from PIL.Image import Image

    original = image_processing.BaseImageProcessor.__call__

    @functools.lru_cache(KEPT_PICTURES)
    def processed(processor: Any, request: _Request) -> Any:
        return original(processor, request.images, **request.keywords)

    @functools.wraps(original)
    def __call__(self: Any, images: Any, *args: Any, **kwargs: Any) -> Any:
        if args or not isinstance(images, list) or not all(isinstance(image, Image) for image in images):
            return original(self, images, *args, **kwargs)
        pixels = tuple((image.mode, image.size, image.tobytes()) for image in images)
        # a shallow copy: callers take entries out, and leave the tensors as they are
        return copy.copy(processed(self, _Request(pixels, repr(sorted(kwargs.items())), images, kwargs)))

    image_processing.BaseImageProcessor.__call__ = __call__


PATCHES = {
    "verl.workers.rollout.vllm_rollout.vllm_async_server": patch_server,
    "verl.experimental.agent_loop.agent_loop": patch_agent_loop,
    "transformers.image_processing_utils": patch_image_processing,
}
