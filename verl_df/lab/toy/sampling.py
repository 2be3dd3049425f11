# SPDX-License-Identifier: Apache-2.0
"""Batched responses of a toy model with Hugging Face's `generate`, for building repair data and for evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from tqdm import tqdm
from transformers import AutoProcessor, Qwen2_5_VLForConditionalGeneration

from verl_df.io.pictures import load_picture, patch_size_of
from verl_df.lab.generation import Request, Response, prompt_text

MAX_RESPONSE_TOKENS = 48  # a well-formed response has 35, end token included
_BATCH = 256


def ask(text: str, png: bytes) -> Request:
    """A user text with one `<image>` marker, and its image as PNG bytes."""
    return Request([{"role": "user", "content": text}], [load_picture(png)])


class Sampler:
    """A model folder loaded in float32, ready to generate: a `verl_df.lab.generation.Generator`.

    Raises:
        FileNotFoundError: if `folder` holds no `config.json`.
    """

    def __init__(self, folder: Path, max_tokens: int = MAX_RESPONSE_TOKENS) -> None:
        self.max_tokens = max_tokens
        if not (folder / "config.json").is_file():
            raise FileNotFoundError(f"{folder} holds no config.json: train the model first (see `verl-df toy`)")
        self.processor = AutoProcessor.from_pretrained(folder)
        self.tokenizer = self.processor.tokenizer
        self.patch_size = patch_size_of(self.processor)
        self.tokenizer.padding_side = "left"  # responses of a batch must start in the same column
        self.model = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()

    @torch.no_grad()
    def generate(
        self,
        requests: Sequence[Request],
        *,
        n: int = 1,
        temperature: float,
        top_p: float = 1.0,
        max_tokens: int | None = None,
        seed: int,
        label: str = "",
    ) -> list[list[Response]]:
        """`n` responses for each request; temperature 0 is greedy, sampling uses no top-k.

        Args:
            seed: of the whole call; the global random state is left untouched.
            max_tokens: at most this many; None: as the sampler was made.
            label: what the progress bar says.
        """
        sampling: dict[str, object] = {"do_sample": temperature > 0}
        if temperature > 0:
            sampling |= {"temperature": temperature, "top_k": 0, "top_p": top_p}
        decoding = {"max_new_tokens": max_tokens or self.max_tokens, **sampling}
        prompts = [request for request in requests for _ in range(n)]
        # Prompts of like length share a batch, so that little is spent on padding.
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i].messages[0]["content"]))
        responses: dict[int, Response] = {}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            for start in tqdm(range(0, len(order), _BATCH), desc=label, leave=False, disable=not label):
                chosen = order[start : start + _BATCH]
                ids = self._generate([prompts[i] for i in chosen], decoding)
                responses |= zip(chosen, map(self._response, ids), strict=True)
        return [[responses[place * n + number] for number in range(n)] for place in range(len(requests))]

    def _generate(self, prompts: Sequence[Request], decoding: Mapping[str, object]) -> list[list[int]]:
        inputs = self.processor(
            text=[prompt_text(self.processor, prompt.messages, 1) for prompt in prompts],
            images=[prompt.images[0] for prompt in prompts],
            padding=True,
            return_tensors="pt",
        )
        return self.model.generate(**inputs, **decoding)[:, inputs["input_ids"].shape[1] :].tolist()

    def _response(self, ids: list[int]) -> Response:
        end = self.tokenizer.eos_token_id
        finished = end in ids
        own = tuple(ids[: ids.index(end) + 1] if finished else ids)
        return Response(own, self.decode(own), finished)

    def decode(self, ids: Sequence[int]) -> str:
        """Text of a response without special tokens."""
        return self.tokenizer.decode(list(ids), skip_special_tokens=True)
