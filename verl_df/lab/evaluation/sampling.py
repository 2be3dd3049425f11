# SPDX-License-Identifier: Apache-2.0
"""What answers the problems of an evaluation: vLLM's offline engine here, a server in `server`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from verl_df.lab.generation import Generator, Request


@dataclass(frozen=True)
class Decoding:
    """How a problem is answered. n: responses. temperature: 0 is greedy. max_tokens: of a response."""

    n: int
    temperature: float
    top_p: float
    max_tokens: int


@dataclass(frozen=True)
class Drawn:
    """One response. tokens: how many were generated. finished: it was not cut by the length limit."""

    text: str
    tokens: int
    finished: bool


class Sampler(Protocol):
    """Answers requests that carry their number; the same number and seed give the same random draws."""

    def sample(self, requests: Sequence[Request], decoding: Decoding, seed: int) -> list[list[Drawn]]:
        """`decoding.n` responses for each request, or none at all for one that failed."""

    def failures(self) -> str:
        """What failed so far, in a few words; empty for nothing."""


class EngineSampler:
    """A `Generator`, of which no single request fails."""

    def __init__(self, generator: Generator) -> None:
        self._generator = generator

    def sample(self, requests: Sequence[Request], decoding: Decoding, seed: int) -> list[list[Drawn]]:
        """See `Sampler`."""
        responses = self._generator.generate(
            requests,
            n=decoding.n,
            temperature=decoding.temperature,
            top_p=decoding.top_p,
            max_tokens=decoding.max_tokens,
            seed=seed,
        )
        return [[Drawn(one.text, len(one.token_ids), one.finished) for one in own] for own in responses]

    def failures(self) -> str:
        """See `Sampler`."""
        return ""
