# SPDX-License-Identifier: Apache-2.0
"""Drafts for repairs: what follows the place in the prompt that the repair has come to, also right after an edit.

vLLM's n-gram drafts follow a place where the last two tokens or more were seen in a row. A repair is a copy with holes:
after its first token, and after each token that it changed, there is no such place, though the copy goes on. Here
places are compared token by token from the last one backwards, and a token that differs does not end the comparison.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

COMPARED = 16  # tokens before a place; lines that repeat are told apart with so many


class CopyProposer:
    """vLLM's `method: custom_class`; it has no weights and keeps nothing from one pass to the next.

    Args:
        vllm_config: vLLM's. `num_speculative_tokens_per_batch_size` says how long drafts are: vLLM's runner applies it
            for methods of its own only.
    """

    def __init__(self, vllm_config: Any) -> None:
        from vllm.v1.spec_decode.dynamic.utils import build_dynamic_sd_schedule_lookup

        settings = vllm_config.speculative_config
        self._lengths = build_dynamic_sd_schedule_lookup(
            settings.num_speculative_tokens_per_batch_size,
            vllm_max_batch_size=vllm_config.scheduler_config.max_num_seqs,
            vllm_num_speculative_tokens=settings.num_speculative_tokens,
        )

    def propose(
        self,
        sampled_token_ids: list[list[int]],
        num_tokens_no_spec: NDArray[np.int32],
        token_ids_cpu: NDArray[np.int32],
        slot_mappings: Any = None,
    ) -> list[list[int]]:
        """A draft for each sequence of the pass; empty where there is nothing to follow.

        Args:
            sampled_token_ids: of each sequence, what the pass gave it; nothing while its prompt is being read.
            num_tokens_no_spec: [sequences], tokens of prompt and response so far.
            token_ids_cpu: [sequences, max_model_len], these tokens, and behind them whatever was there.
            slot_mappings: unused; vLLM passes it.
        """
        length, room = self._lengths[len(sampled_token_ids)], token_ids_cpu.shape[1]
        counts = zip(sampled_token_ids, num_tokens_no_spec.tolist(), strict=False)  # vLLM's array has rows to spare
        return [
            draft(token_ids_cpu[row, :count], min(length, room - count)) if sampled else []
            for row, (sampled, count) in enumerate(counts)
        ]


def draft(tokens: NDArray[np.int32], length: int) -> list[int]:
    """Up to `length` tokens that `tokens`, prompt and response so far, are likely to go on with."""
    if length <= 0:
        return []
    place = place_to_follow(tokens)
    return tokens[place : place + length].tolist()


@njit("int64(int32[::1])", nogil=True)
def place_to_follow(tokens: NDArray[np.int32]) -> int:
    """The place before which most is as it is at the end.

    The last token counts more than all before it together, the one before it more than those before that, and so on,
    `COMPARED` tokens back. Of equal places it is the earliest.

    Args:
        tokens: [tokens].

    Returns:
        where what follows begins; the number of tokens where none of those compared was seen before.
    """
    count, best, found = len(tokens), 0, len(tokens)
    for place in range(1, count):
        likeness = 0  # a bit for each token compared, the highest for the last one
        for back in range(1, COMPARED + 1):
            likeness *= 2
            if back <= place and tokens[place - back] == tokens[count - back]:
                likeness += 1
            elif likeness < best >> COMPARED - back:
                break  # whatever comes before
        else:
            if likeness > best:
                best, found = likeness, place
    return found
