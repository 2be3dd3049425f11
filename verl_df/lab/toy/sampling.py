# SPDX-License-Identifier: Apache-2.0
"""Batched responses of a toy model with Hugging Face's `generate`, for building repair data and for evaluation."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from tqdm import tqdm
from transformers import AutoProcessor, Qwen2_5_VLForConditionalGeneration

MAX_RESPONSE_TOKENS = 48  # a well-formed response has 35, end token included


@dataclass(frozen=True)
class Prompt:
    """A user text with one `<image>` marker, and its image as PNG bytes."""

    text: str
    png: bytes


class Sampler:
    """A model folder loaded in float32, ready to generate.

    Raises:
        FileNotFoundError: if `folder` holds no `config.json`.
    """

    def __init__(self, folder: Path) -> None:
        if not (folder / "config.json").is_file():
            raise FileNotFoundError(f"{folder} holds no config.json: train the model first (see `verl-df toy`)")
        self.processor = AutoProcessor.from_pretrained(folder)
        self.tokenizer = self.processor.tokenizer
        self.tokenizer.padding_side = "left"  # responses of a batch must start in the same column
        self.model = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()

    @torch.no_grad()
    def generate(
        self, prompts: Sequence[Prompt], *, temperature: float, seed: int, batch: int = 256, label: str = ""
    ) -> list[list[int]]:
        """One response a prompt, as generated token ids, end token included where there is one.

        Args:
            prompts: the prompts; repeat one to sample it several times.
            temperature: 0 for greedy decoding; sampling uses no top-k and no top-p.
            seed: of the sampling; the global random state is left untouched.
            batch: prompts at a time.
            label: what the progress bar says.
        """
        # Prompts of like length share a batch, so that little is spent on padding.
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i].text))
        responses: list[list[int]] = [[] for _ in prompts]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            for start in tqdm(range(0, len(order), batch), desc=label, leave=False, disable=not label):
                chosen = order[start : start + batch]
                for index, ids in zip(chosen, self._generate([prompts[i] for i in chosen], temperature), strict=True):
                    responses[index] = ids
        return responses

    def _generate(self, prompts: list[Prompt], temperature: float) -> list[list[int]]:
        inputs = self.processor(
            text=[self._chat(prompt.text) for prompt in prompts],
            images=[Image.open(io.BytesIO(prompt.png)).convert("RGB") for prompt in prompts],
            padding=True,
            return_tensors="pt",
        )
        sampling = {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0}
        output = self.model.generate(
            **inputs,
            max_new_tokens=MAX_RESPONSE_TOKENS,
            **(sampling if temperature > 0 else {"do_sample": False}),
        )
        return [self._cut(row) for row in output[:, inputs["input_ids"].shape[1] :].tolist()]

    def _chat(self, text: str) -> str:
        before, after = text.split("<image>")
        content = [{"type": "text", "text": before}] if before else []
        content += [{"type": "image"}, {"type": "text", "text": after}]
        chat = [{"role": "user", "content": content}]
        return self.processor.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)

    def _cut(self, ids: list[int]) -> list[int]:
        end = self.tokenizer.eos_token_id
        return ids[: ids.index(end) + 1] if end in ids else ids

    def decode(self, ids: Sequence[int]) -> str:
        """Text of a response without special tokens."""
        return self.tokenizer.decode(list(ids), skip_special_tokens=True)
