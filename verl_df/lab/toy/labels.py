# SPDX-License-Identifier: Apache-2.0
"""Which wrong tokens of a chain's response are causes, and which only follow from them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from verl_df.lab.toy import chain
from verl_df.lab.toy.questions import question_of
from verl_df.lab.toy.world import grid_from_lists

LABELS = ("right", "root", "consequence", "compensation")
RIGHT, ROOT, CONSEQUENCE, COMPENSATION = range(len(LABELS))


def statement_labels(response: str, extra_info: Mapping[str, Any]) -> list[tuple[chain.Field, int]] | None:
    """Every statement of a chain's response with its label; None when it is not well-formed or of the other world.

    A statement is compared with the truth of the picture, and with what follows from the response's own statements:

    | | as it follows | otherwise |
    | --- | --- | --- |
    | true | right | compensation: an earlier error undone by a slip |
    | false | consequence | root |

    Places, colours and shapes follow from the picture alone. A false reading that brings a wrong number back to
    the true one is a compensation too (our reading: it is blamed for nothing that comes after it).
    """
    question, parsed = question_of(extra_info), chain.parse(response)
    if not isinstance(question, chain.ChainQuestion) or parsed is None:
        return None
    style, fields = parsed
    exact = chain.parse(question.write(question.words(grid_from_lists(extra_info["grid"])), style))
    assert exact is not None
    true = [field.said for field in exact[1]]
    follows = _derived(fields, true, question)
    labels = [
        (RIGHT if said == follow else COMPENSATION) if said == fact else (CONSEQUENCE if said == follow else ROOT)
        for said, fact, follow in zip((field.said for field in fields), true, follows, strict=True)
    ]
    return list(zip(fields, _undone(fields, true, labels), strict=True))


def _derived(fields: Sequence[chain.Field], true: Sequence[str], question: chain.ChainQuestion) -> list[str]:
    """What each statement should be after the response's own earlier ones."""
    direction, number, follows = chain.UP, question.targets[0], []
    own: dict[str, str] = {}
    for field, fact in zip(fields, true, strict=True):
        own[field.name] = field.said
        if field.name == "direction":
            follows.append(chain.turned(direction, own["shape"]))
            direction = field.said
        elif field.name in ("before", "answer"):
            follows.append(number)
        elif field.name == "value":
            follows.append(str(chain.VALUES[own["colour"]]))
        elif field.name == "after":
            follows.append(str(chain.moved(int(own["before"]), direction, int(own["value"]))))
            number = field.said
        else:
            follows.append(fact)
    return follows


def _undone(fields: Sequence[chain.Field], true: Sequence[str], labels: list[int]) -> list[int]:
    false = {(one.step, one.name) for one, fact in zip(fields, true, strict=True) if one.said != fact}
    back = {one.step for one in fields if (one.step, "before") in false and (one.step, "after") not in false}
    readings = ("colour", "shape")
    return [
        COMPENSATION if label == ROOT and one.name in readings and one.step in back else label
        for one, label in zip(fields, labels, strict=True)
    ]


def token_labels(
    token_ids: Sequence[int], extra_info: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase
) -> np.ndarray | None:
    """Label of each token, int8 [T], an index of LABELS; None where `statement_labels` has none.

    Args:
        token_ids: the T generated tokens.
        extra_info: the row's.
        tokenizer: the policy's. A well-formed response is ASCII, so its tokens' texts add up to it.
    """
    pieces = [tokenizer.decode([token], skip_special_tokens=True) for token in token_ids]
    statements = statement_labels("".join(pieces), extra_info)
    if statements is None:
        return None
    characters = np.zeros(sum(map(len, pieces)), dtype=np.int8)
    for field, label in statements:
        characters[field.start : field.end] = label
    ends = np.cumsum([len(piece) for piece in pieces])
    return np.array(
        [characters[end - len(piece) : end].max(initial=0) for piece, end in zip(pieces, ends, strict=True)],
        dtype=np.int8,
    )
