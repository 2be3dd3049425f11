# SPDX-License-Identifier: Apache-2.0
"""What the check compares on: prompts with responses as token ids, and log-probabilities of the responses."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from transformers import ProcessorMixin

from verl_df.io.pictures import patch_size_of
from verl_df.lab.generation import prompt_text
from verl_df.lab.rl_data import Prompt


@dataclass(frozen=True)
class TokenRow:
    """A prompt with a response.

    Attributes:
        input_ids: of both.
        response: number of tokens of the response, the last ones of `input_ids`.
    """

    input_ids: tuple[int, ...]
    response: int


def prompt_inputs(processor: ProcessorMixin, prompt: Prompt) -> dict[str, torch.Tensor]:
    """A prompt in the model's chat form with its pictures: input_ids and attention_mask [1, length], pixels."""
    messages, images = prompt.messages, prompt.pictures(patch_size_of(processor))
    text = prompt_text(processor, messages, len(images))
    return dict(processor(text=[text], images=images, return_tensors="pt"))


def with_response(inputs: dict[str, torch.Tensor], row: TokenRow) -> dict[str, torch.Tensor]:
    """The inputs of a prompt, continued by the response; of a longer prompt, if text alone was put in after media."""
    ids = torch.tensor([row.input_ids], device=inputs["input_ids"].device)
    longer = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    for name in ("mm_token_type_ids", "token_type_ids"):  # 0: text
        if name in inputs:
            longer[name] = torch.cat([inputs[name], torch.zeros_like(ids[:, inputs[name].shape[1] :])], dim=1)
    return inputs | longer


@dataclass(frozen=True)
class Difference:
    """The absolute difference of two sets of log-probabilities (natural logarithm).

    Attributes:
        rows, tokens: how many were compared.
        maximum: the largest difference; infinite where either side is not a number.
        row, token: where the largest one is, from 0.
        mean: over the tokens.
    """

    rows: int
    tokens: int
    maximum: float
    row: int
    token: int
    mean: float


def compare(ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray]) -> Difference:
    """Compare log-probabilities, one float array [response_length] a row. Raises: ValueError for other lengths."""
    if [len(row) for row in ours] != [len(row) for row in theirs]:
        raise ValueError("the log-probabilities are of responses of other lengths")
    gaps = [np.abs(a.astype(np.float64) - b.astype(np.float64)) for a, b in zip(ours, theirs, strict=True)]
    gaps = [np.where(np.isnan(gap), np.inf, gap) for gap in gaps]
    row = max(range(len(gaps)), key=lambda index: gaps[index].max())
    together = np.concatenate(gaps)
    return Difference(
        rows=len(gaps),
        tokens=len(together),
        maximum=float(together.max()),
        row=row,
        token=int(gaps[row].argmax()),
        mean=float(together.mean()),
    )


def log_probs(logits: torch.Tensor, row: TokenRow) -> np.ndarray:
    """Log-probabilities of the response, float32 [response_length], from logits [1, length, vocabulary]."""
    scores = logits[0, -row.response - 1 : -1].float().log_softmax(dim=-1)
    ids = torch.tensor(row.input_ids[-row.response :], device=scores.device)
    return scores.gather(1, ids[:, None])[:, 0].cpu().numpy()
