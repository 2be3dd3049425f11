# SPDX-License-Identifier: Apache-2.0
"""The mask of another row (C2p): what a mask is worth that knows where errors stand, and not which tokens are wrong."""

from collections.abc import Sequence

import numpy as np


def donors(uids: Sequence[str], rng: np.random.Generator) -> list[int | None]:
    """For each repaired pair of a batch another one, drawn at random, whose masks it gets.

    Args:
        uids: of the pairs' prompts.
        rng: of the draw.

    Returns:
        their places: of another prompt where there is one, for errors to the same question stand in the same places
        more often; else of the same prompt; None for a pair that is alone.
    """
    drawn: list[int | None] = []
    for place, uid in enumerate(uids):
        elsewhere = [other for other, one in enumerate(uids) if one != uid]
        among = elsewhere or [other for other in range(len(uids)) if other != place]
        drawn.append(among[int(rng.integers(len(among)))] if among else None)
    return drawn


def scaled(gate: np.ndarray, length: int) -> np.ndarray:
    """A gate, float32 [T], on a response of another length: token t gets that of token ⌊t·T/length⌋.

    Our reading of "cut or scaled": scaled, so that its density stays, and a place counts relative to the length.
    """
    if len(gate) == 0:
        return np.zeros(length, dtype=np.float32)
    return gate[np.arange(length) * len(gate) // max(1, length)]
