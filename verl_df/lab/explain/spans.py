# SPDX-License-Identifier: Apache-2.0
"""Known wrong characters of a response, and the tokens that hold them."""

from collections.abc import Sequence

Extent = tuple[int, int]
"""Characters [start, end) of a text, counted from 0 in code points."""


def check_spans(spans: Sequence[Sequence[int]], response: str | None) -> None:
    """Raise ValueError for spans without a text, or one that is not within it."""
    if response is None:
        raise ValueError("'wrong_spans' counts characters of 'response', a text: write it in place of 'token_ids'")
    for span in spans:
        if len(span) != 2 or not 0 <= span[0] < span[1] <= len(response):
            raise ValueError(
                f"'wrong_spans' has {list(span)}: write [start, end] with 0 <= start < end <= {len(response)}, the "
                "number of characters of 'response'"
            )


def without_gaps(offsets: Sequence[Extent], length: int) -> list[Extent]:
    """Offsets of a tokenizer, in which no character is left out.

    Some tokenizers leave blanks out of their offsets: these belong to the token after them, the last to the last token.
    Several tokens may stand for one character, as bytes of an emoji do.

    Args:
        offsets: of the tokens, in their order.
        length: characters of the text.
    """
    extents: list[Extent] = []
    reached = 0
    for start, end in offsets:
        extents.append((min(start, reached), max(end, start)))
        reached = max(reached, end)
    if extents and reached < length:
        extents[-1] = (extents[-1][0], length)
    return extents


def marked(spans: Sequence[Sequence[int]], extents: Sequence[Extent]) -> tuple[int, ...]:
    """1 for each token that holds a character of a span, else 0."""
    return tuple(int(any(start < last and first < end for first, last in spans)) for start, end in extents)
