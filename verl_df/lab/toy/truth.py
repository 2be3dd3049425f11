# SPDX-License-Identifier: Apache-2.0
"""What is truly wrong in a response, and its exact repair, computed from the picture's grid."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from verl_df.lab.toy.questions import question_of
from verl_df.lab.toy.world import grid_from_lists
from verl_df.method.alignment import align

END_TOKEN = "<|im_end|>"


def right_response(order: str, extra_info: Mapping[str, Any]) -> str:
    """The response in the given row order whose every statement is true."""
    question = question_of(extra_info)
    return question.write(question.words(grid_from_lists(extra_info["grid"])), order)


def exact_repair(response_text: str, extra_info: Mapping[str, Any]) -> str | None:
    """Exact repair y* of a well-formed response: same row order, every wrong statement and nothing else corrected.

    Args:
        response_text: decoded response without special tokens.
        extra_info: the row's `extra_info` (question type, targets, grid).

    Returns:
        The repaired text, equal to `response_text` when nothing is wrong; None when the response is not well-formed,
        for then "the same order" has no meaning.

    The layout fixes every token but the facts, and each fact is one token, so no right response in this order is
    closer in edit distance. A response may be right in its answer and still wrong in a cell: that cell is repaired
    too (our reading: a repair states nothing false).
    """
    order = question_of(extra_info).order_of(response_text)
    return None if order is None else right_response(order, extra_info)


def error_mask(
    token_ids: Sequence[int], extra_info: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase
) -> np.ndarray | None:
    """Truly wrong tokens of a response, bool [T]: the error side of the alignment with the exact repair (Eq. 8).

    Args:
        token_ids: the T generated tokens, end token included when there is one.
        extra_info: the row's `extra_info`.
        tokenizer: the policy's tokenizer.

    Returns:
        The mask, or None when the response is not well-formed. The end token is never wrong by itself.
    """
    ids = list(token_ids)
    repaired = exact_repair_ids(ids, extra_info, tokenizer)
    if repaired is None:
        return None
    end = tokenizer.convert_tokens_to_ids(END_TOKEN)
    return align(ids, repaired if ids and ids[-1] == end else repaired[:-1]).error_mask


def exact_repair_ids(
    token_ids: Sequence[int], extra_info: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase
) -> list[int] | None:
    """The exact repair y* as token ids with the end token; None when the response is not well-formed.

    The arguments are those of `error_mask`.
    """
    repaired = exact_repair(tokenizer.decode(list(token_ids), skip_special_tokens=True), extra_info)
    if repaired is None:
        return None
    return [*tokenizer.encode(repaired, add_special_tokens=False), tokenizer.convert_tokens_to_ids(END_TOKEN)]
