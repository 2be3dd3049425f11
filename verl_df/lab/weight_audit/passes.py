# SPDX-License-Identifier: Apache-2.0
"""What weights are computed from: the policy's log-probabilities of its responses, with and without the picture, and
after a prompt that shows a right response.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from verl_df.adapters.policy_training.blind_pass import Hiding, hiding_of
from verl_df.adapters.policy_training.shown_pass import Shower
from verl_df.io.pictures import patch_size_of
from verl_df.lab.checkpoint.lora import load_model
from verl_df.lab.checkpoint.sequences import TokenRow, log_probs, with_response
from verl_df.lab.explain.pictures import group_pictures
from verl_df.lab.explain.rows import Group
from verl_df.lab.generation import load_processor, prompt_text


@dataclass(frozen=True, eq=False)
class Scores:
    """Of every response, by its key.

    Attributes:
        log_probs: float32 [T], natural logarithm, at temperature 1.
        entropy: of the policy's distribution at each token, float32 [T], in nats.
        seconds: of the pass.
    """

    log_probs: Mapping[str, np.ndarray]
    entropy: Mapping[str, np.ndarray]
    seconds: float


@dataclass
class Passes:
    """Passes of a policy over the responses of all groups, in float32 and one response at a time.

    Args:
        policy: Hugging Face folder.
        groups: prompts with their responses.
        folder: of the pictures.
        seed: of the patches that a pass hides.
    """

    policy: str
    groups: Sequence[Group]
    folder: Path
    seed: int
    _done: dict[float, Scores] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._processor = load_processor(self.policy)
        self._model = load_model(Path(self.policy), torch.float32).eval()

    def scores(self, hidden: float = 0.0) -> Scores:
        """A pass in which the share `hidden` of the picture's patches is black. Each is made once."""
        if hidden not in self._done:
            hiding = hiding_of(self._processor, hidden, (self.seed, 0)) if hidden else None
            self._done[hidden] = self._pass(hiding, {})
        return self._done[hidden]

    def shown(self, references: Mapping[str, str]) -> Scores:
        """A pass in which the prompts of these responses, by key, show a reference."""
        return self._pass(None, references)

    def decode(self, token_ids: Sequence[int]) -> str:
        """A response as text, without special tokens."""
        return self._processor.tokenizer.decode(token_ids, skip_special_tokens=True)

    @torch.no_grad()
    def _pass(self, hiding: Hiding | None, references: Mapping[str, str]) -> Scores:
        started = time.perf_counter()
        found: dict[str, np.ndarray] = {}
        entropies: dict[str, np.ndarray] = {}
        shower = Shower(self._processor.tokenizer, self._processor, {}) if references else None
        for group in self.groups:
            inputs = self._inputs(group)
            for rollout in group.request.rollouts:
                prompt = inputs["input_ids"][0].tolist()
                if shower is not None and rollout.key in references:
                    place = shower.place(prompt)
                    prompt[place:place] = shower.tokens(references[rollout.key])
                row = TokenRow((*prompt, *rollout.token_ids), len(rollout.token_ids))
                whole = with_response(inputs, row)
                if hiding is not None:
                    whole = hiding.inputs(whole, whole["input_ids"][0])
                logits = self._model(**whole).logits
                found[rollout.key], entropies[rollout.key] = log_probs(logits, row), entropy(logits, row)
        return Scores(found, entropies, time.perf_counter() - started)

    def _inputs(self, group: Group) -> dict[str, torch.Tensor]:
        images = group_pictures(group, self.folder, patch_size_of(self._processor))
        messages = [{"role": "user", "content": group.first.prompt}]
        text = prompt_text(self._processor, messages, len(images))
        given = {"images": images} if images else {}
        return dict(self._processor(text=[text], return_tensors="pt", **given))


def entropy(logits: torch.Tensor, row: TokenRow) -> np.ndarray:
    """−Σ p log p at each token of the response, float32 [response_length], from logits [1, length, vocabulary]."""
    scores = logits[0, -row.response - 1 : -1].float().log_softmax(dim=-1)
    return -(scores.exp() * scores).sum(dim=-1).cpu().numpy()
