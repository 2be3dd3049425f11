# SPDX-License-Identifier: Apache-2.0
"""Rows and models whose samples and tables were recorded in `fixtures` before the evaluations had one engine.

Nothing here may change: the recorded files say what these rows and models give.
"""

import base64
import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from verl_df.lab.generation import Request, Response, request_seeds
from verl_df.lab.toy.data import examples, rl_row
from verl_df.lab.toy.settings import ToySettings
from verl_df.lab.toy.text import ORDERS, boxed, words_of, write_response
from verl_df.prompts import HIDDEN_REFERENCE

# 4 x 4 pixels, as bytes: the names of problems are digests of them, and an encoder may change
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAQAAAAECAIAAAAmkwkpAAAAFElEQVR4nGM8EaXBAANMDEgANwcAQhgBUsB/k1MAAAAASUVORK5CYII="
)


def drawn(*parts: Any) -> int:
    """A number that depends on the parts only."""
    return int(hashlib.sha256(repr(parts).encode()).hexdigest()[:12], 16)


def mmstar_rows(count: int) -> list[dict[str, Any]]:
    return [
        {
            "data_source": "mmstar",
            "prompt": [{"role": "user", "content": f"<image>What is it, {index}?"}],
            "images": [{"bytes": PNG}],
            "reward_model": {"style": "rule", "ground_truth": "ABCD"[index % 4]},
            "extra_info": {
                "id": f"star{index}",
                "choices": ["a cat", "a dog", "a bird", "a fish"],
                "category": ("logic", "math", "maps")[index % 3],
            },
        }
        for index in range(count)
    ]


def ai2d_rows(count: int) -> list[dict[str, Any]]:
    """Rows without ids, two of them equal; a character that JSON may escape."""
    return [
        {
            "data_source": "ai2d",
            "prompt": [{"role": "user", "content": f"<image>Größe {max(1, index)}?"}],
            "images": [{"bytes": PNG}],
            "reward_model": {"style": "rule", "ground_truth": "B"},
            "extra_info": {"choices": ["a cat", "a dog", "a bird", "a fish"]},
        }
        for index in range(count)
    ]


def benchmark_answer(request: Request, seed: int, sample: int) -> str:
    """A letter, nothing that can be read, or a response that is cut."""
    kind = drawn(request.messages[-1]["content"], request.number, seed, sample) % 7
    return ("A", r"\boxed{B}", "The answer is C.", "D", r"so \boxed{A}", "I cannot tell", "cut")[kind]


def fractional(data_source: str, solution_str: str, ground_truth: str, extra_info: dict | None = None) -> float:
    """A reward between 0 and 1."""
    return drawn(solution_str, ground_truth) % 11 / 10


def repair_rows(prompts: int, tokenizer: Any) -> list[dict[str, Any]]:
    """Toy rows, with another picture, with a wrong response each, once with a sibling and once with the bare answer."""
    rows = []
    for example in examples("repair_val", prompts, ToySettings()):
        good = right_response(example)
        digit = example.answer()
        wrong = f"{good[: -len(boxed(digit))]}{boxed(str((int(digit) + 1) % 10))}"
        for kind, reference in (("sibling", good), ("answer", boxed(digit))):
            ids = [*tokenizer.encode(wrong, add_special_tokens=False), tokenizer.eos_token_id]
            task = {"response": wrong, "response_ids": ids, "reference": reference, "reference_kind": kind}
            rows.append({**rl_row(example), "images": [{"bytes": PNG, "path": None}], "repair_task": task})
    return rows


def right_response(example: Any) -> str:
    return write_response(words_of(example.grid, example.question), example.question, next(iter(ORDERS)))


class RepairModel:
    """Right, wrong, unfinished, identical or with a placeholder, by prompt, picture and the seed of the request."""

    patch_size = 14

    def __init__(self, prompts: int, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._right = {one.question.text: right_response(one) for one in examples("repair_val", prompts, ToySettings())}
        self.seeds: list[int] = []

    def generate(
        self, requests: Sequence[Request], *, n: int, temperature: float, top_p: float = 1.0, max_tokens: int, seed: int
    ) -> list[list[Response]]:
        seeds = request_seeds(requests, seed)
        self.seeds += seeds
        return [
            [self._answer(request, own, sample, temperature) for sample in range(n)]
            for request, own in zip(requests, seeds, strict=True)
        ]

    def _answer(self, request: Request, seed: int, sample: int, temperature: float) -> Response:
        text = request.messages[-1]["content"]
        good = next(good for question, good in self._right.items() if question in text)
        seen = bool(np.asarray(request.images[0]).any())
        kind = drawn(text, seen, seed, sample, temperature) % (9 if HIDDEN_REFERENCE in text else 6)
        answer = {0: "no idea", 4: good[:-8] + boxed("3"), 6: "?", 7: "", 8: "??"}.get(kind, good)
        ids = (*self._tokenizer.encode(answer, add_special_tokens=False), self._tokenizer.eos_token_id)
        if kind == 2:
            return Response(ids[:-1], answer, False)
        if kind == 3 and sample == 1:
            return Response((self._tokenizer.convert_tokens_to_ids("<|image_pad|>"), *ids), answer, True)
        return Response(ids, answer, True)
