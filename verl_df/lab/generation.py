# SPDX-License-Identifier: Apache-2.0
"""Responses of a vision-language model outside training: for repair data and for evaluation.

Inside training verl's rollout servers generate. Here vLLM's offline engine does, on a model folder, with prompts in the
same chat form.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from PIL import Image

from verl_df.io.pictures import patch_size_of
from verl_df.platform import cpu_requested

_MARKER = re.compile("(<image>)")


@dataclass(frozen=True)
class Request:
    """A prompt. messages: verl's chat form, `<image>` markers in the text; images: one for each marker, in order.

    number: of the request, for its seed (see `request_seed`); None: its place in the call. With numbers a request gets
    the same seed whatever it is called together with.
    """

    messages: list[dict[str, Any]]
    images: list[Image.Image]
    number: int | None = None


@dataclass(frozen=True)
class Response:
    """One sample. token_ids: as generated, the end token included where there is one; text: without special tokens;
    finished: ends with an end token (False: cut by the length limit); counted: tokens, where a server generated them,
    which does not name them.
    """

    token_ids: tuple[int, ...]
    text: str
    finished: bool
    counted: int | None = None

    @property
    def tokens(self) -> int:
        """How many were generated."""
        return len(self.token_ids) if self.counted is None else self.counted


class Generator(Protocol):
    """What samples responses; a fake one serves the tests of its users.

    Attributes:
        patch_size: pixels of the model's vision patches, for which pictures are loaded.
    """

    @property
    def patch_size(self) -> int: ...

    def generate(
        self,
        requests: Sequence[Request],
        *,
        n: int,
        temperature: float,
        top_p: float = 1.0,
        max_tokens: int,
        seed: int,
    ) -> list[list[Response]]:
        """`n` samples for each request, or none at all for one that failed; temperature 0 is greedy."""

    def failures(self) -> str:
        """What failed so far, in a few words; empty for nothing."""


class VLLMGenerator:
    """A model folder in vLLM's offline engine.

    Args:
        model_path: Hugging Face folder or hub name.
        max_model_len: tokens of prompt and response; None: the model's own limit.
        dtype: of weights and activations; "auto": the model's.
        trust_remote_code: run code that lies in the model's folder, for the processor and in the engine.
        engine: further arguments of `vllm.LLM` (tensor_parallel_size, gpu_memory_utilization, ...).

    Use as a context manager, or call `close`: the engine is a process of its own and holds the device until then.

    Raises:
        ValueError: the folder has no processor or tokenizer.
    """

    def __init__(
        self,
        model_path: str,
        *,
        max_model_len: int | None = None,
        dtype: str = "auto",
        trust_remote_code: bool = False,
        **engine: Any,
    ) -> None:
        from vllm import LLM  # seconds of imports

        self.processor = load_processor(model_path, trust_remote_code)
        self.tokenizer = getattr(self.processor, "tokenizer", self.processor)
        self.patch_size = patch_size_of(self.processor)
        if cpu_requested():
            # With a seed of its own, a prompt that is prefilled in pieces ends vLLM 0.24's CPU worker: it sets back the
            # generator of the piece's discarded sample by an offset, which only CUDA generators have.
            engine = {"enable_chunked_prefill": False, **engine}
        self._engine = LLM(
            model=model_path,
            max_model_len=max_model_len,
            dtype=dtype,
            trust_remote_code=trust_remote_code,
            **engine,
        )
        listed = self._engine.get_default_sampling_params().stop_token_ids or []
        self._end_ids = {self.tokenizer.eos_token_id, *listed}

    def generate(
        self,
        requests: Sequence[Request],
        *,
        n: int,
        temperature: float,
        top_p: float = 1.0,
        max_tokens: int,
        seed: int,
    ) -> list[list[Response]]:
        """See `Generator`. Raises: ValueError for a request whose markers and images differ in number."""
        from vllm import SamplingParams

        prompts = [self._prompt(request) for request in requests]
        sampling = [
            SamplingParams(n=n, temperature=temperature, top_p=top_p, max_tokens=max_tokens, seed=own_seed)
            for own_seed in request_seeds(requests, seed)
        ]
        outputs = self._engine.generate(prompts, sampling)
        return [[self._response(sample.token_ids) for sample in output.outputs] for output in outputs]

    def failures(self) -> str:
        """See `Generator`. The engine fails as a whole, with an exception."""
        return ""

    def close(self) -> None:
        """End the engine's process and free its device."""
        self._engine.llm_engine.engine_core.shutdown()

    def __enter__(self) -> "VLLMGenerator":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _prompt(self, request: Request) -> dict[str, Any]:
        text = prompt_text(self.processor, request.messages, len(request.images))
        return {"prompt": text, "multi_modal_data": {"image": request.images}} if request.images else {"prompt": text}

    def _response(self, token_ids: Sequence[int]) -> Response:
        ids = tuple(token_ids)
        return Response(
            ids, self.tokenizer.decode(ids, skip_special_tokens=True), bool(ids) and ids[-1] in self._end_ids
        )


def request_seeds(requests: Sequence[Request], seed: int) -> list[int]:
    """Seed of each request of a call, by its number or its place."""
    numbers = [place if request.number is None else request.number for place, request in enumerate(requests)]
    return [request_seed(seed, number) for number in numbers]


def request_seed(seed: int, number: int) -> int:
    """Seed of request `number` of a call; vLLM counts on from it for the request's samples.

    One for all would give equal prompts equal samples. Below 2^31, for a CPU's generator reads 32 bits of a seed only:
    two seeds that differ further up would give the same samples.
    """
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0]) >> 1


def load_processor(model: str, trust_remote_code: bool = False) -> Any:
    """Processor or tokenizer of a model folder or hub name. Raises: ValueError where none can be loaded."""
    from transformers import AutoProcessor  # seconds of imports

    try:
        return AutoProcessor.from_pretrained(model, trust_remote_code=trust_remote_code)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{model}: no processor or tokenizer can be loaded from there ({reason})") from error


def prompt_text(processor: Any, messages: Sequence[dict[str, Any]], images: int) -> str:
    """A prompt in the model's chat form, up to where the response begins. Raises: ValueError as `with_image_items`."""
    return processor.apply_chat_template(with_image_items(messages, images), add_generation_prompt=True, tokenize=False)


def with_image_items(messages: Sequence[dict[str, Any]], images: int) -> list[dict[str, Any]]:
    """Messages whose `<image>` markers have become image items, the form that chat templates read.

    Raises:
        ValueError: another number of markers than `images`.
    """
    turned, found = [], 0
    for message in messages:
        parts = [part for part in _MARKER.split(message["content"]) if part]
        found += parts.count("<image>")
        items = [{"type": "image"} if part == "<image>" else {"type": "text", "text": part} for part in parts]
        turned.append({**message, "content": items})
    if found != images:
        raise ValueError(f"a prompt has {found} <image> markers for {images} images: {messages[-1]['content'][:80]!r}")
    return turned
