# SPDX-License-Identifier: Apache-2.0
"""What is aligned: the tokens of a tokenizer, or words, characters or bare token ids where there is none."""

import re
from collections.abc import Sequence
from typing import Any, Protocol

from verl_df.lab.explain.spans import Extent, without_gaps

SPLITS = {
    # a word takes the blank before it along, as the tokens of most tokenizers do
    "words": re.compile(r" ?\w+| ?[^\w\s]|\s"),
    "characters": re.compile(".", re.DOTALL),
}


class Units(Protocol):
    """Texts as ids, and back."""

    def encode(self, text: str, finished: bool = True) -> tuple[int, ...]:
        """Ids of a response; `finished`: it ends with an end token, where the units have one."""

    def extents(self, text: str, finished: bool = True) -> list[Extent]:
        """The characters of `text` that each id of `encode` stands for; every character belongs to one, at least."""

    def check(self, token_ids: Sequence[int]) -> None:
        """Raise ValueError for an id that none of the units has."""

    def texts(self, token_ids: Sequence[int]) -> list[str]:
        """One text for each id."""

    def decode(self, token_ids: Sequence[int]) -> str:
        """The text, without special tokens."""


class Pieces:
    """Pieces of a text, numbered in the order in which they were first seen. split: one of `SPLITS`."""

    def __init__(self, split: str) -> None:
        self._split, self._what = SPLITS[split], split
        self._numbers: dict[str, int] = {}
        self._pieces: list[str] = []

    def encode(self, text: str, finished: bool = True) -> tuple[int, ...]:
        """See `Units`. Pieces have no end token."""
        return tuple(self._number(piece) for piece in self._split.findall(text))

    def extents(self, text: str, finished: bool = True) -> list[Extent]:
        """See `Units`."""
        return [piece.span() for piece in self._split.finditer(text)]

    def check(self, token_ids: Sequence[int]) -> None:
        """See `Units`. Ids come from a tokenizer, never from here."""
        raise ValueError(f"token ids beside texts, which are aligned by {self._what}: give --tokenizer")

    def texts(self, token_ids: Sequence[int]) -> list[str]:
        return [self._pieces[number] for number in token_ids]

    def decode(self, token_ids: Sequence[int]) -> str:
        return "".join(self.texts(token_ids))

    def _number(self, piece: str) -> int:
        if piece not in self._numbers:
            self._numbers[piece] = len(self._pieces)
            self._pieces.append(piece)
        return self._numbers[piece]


class Numbers:
    """Token ids of an unknown tokenizer, shown as numbers."""

    def encode(self, text: str, finished: bool = True) -> tuple[int, ...]:
        """See `Units`. Raises: ValueError."""
        raise ValueError("a text beside token ids: give --tokenizer, or token ids everywhere")

    def extents(self, text: str, finished: bool = True) -> list[Extent]:
        """See `Units`. Raises: ValueError."""
        raise ValueError("'wrong_spans' beside token ids: give --tokenizer")

    def check(self, token_ids: Sequence[int]) -> None:
        """See `Units`. `align` knows which ids there can be."""

    def texts(self, token_ids: Sequence[int]) -> list[str]:
        return [str(token) for token in token_ids]

    def decode(self, token_ids: Sequence[int]) -> str:
        return " ".join(self.texts(token_ids))


class Tokens:
    """The tokens of a Hugging Face tokenizer."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def encode(self, text: str, finished: bool = True) -> tuple[int, ...]:
        """See `Units`. The end token of a finished response is added unless it is written out.

        Raises: ValueError for half of a surrogate pair, which no tokenizer reads.
        """
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise ValueError("half of a surrogate pair is no text: give token ids instead")
        ids, end = self._tokenizer.encode(text, add_special_tokens=False), self._tokenizer.eos_token_id
        return (*ids, end) if finished and end is not None and ids[-1:] != [end] else tuple(ids)

    def extents(self, text: str, finished: bool = True) -> list[Extent]:
        """See `Units`. The end token that `encode` adds stands for no character.

        Raises: ValueError for a tokenizer that does not know where its tokens come from.
        """
        if not self._tokenizer.is_fast:
            raise ValueError(
                "this tokenizer does not say which characters a token stands for: write 'token_ids' and 'truth_mask'"
            )
        found = self._tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        extents = without_gaps(found["offset_mapping"], len(text))
        return extents + [(len(text), len(text))] * (len(self.encode(text, finished)) - len(extents))

    def check(self, token_ids: Sequence[int]) -> None:
        """See `Units`."""
        if max(token_ids, default=0) >= len(self._tokenizer):
            raise ValueError(f"token id {max(token_ids)}: the tokenizer has {len(self._tokenizer)} tokens")

    def texts(self, token_ids: Sequence[int]) -> list[str]:
        return [self._tokenizer.decode([token]) for token in token_ids]

    def decode(self, token_ids: Sequence[int]) -> str:
        return self._tokenizer.decode(list(token_ids), skip_special_tokens=True)


def open_units(tokenizer: str | None, split: str | None, *, ids_only: bool) -> Units:
    """The units of a run of a command.

    Args:
        tokenizer: its folder or hub name; None: there is none.
        split: how texts are cut without one; None: into words.
        ids_only: nothing but token ids is given.

    Raises:
        ValueError: no tokenizer can be loaded from there, or a split that has no effect.
    """
    if split is not None and (ids_only or tokenizer is not None):
        raise ValueError(f"--split {split} is for texts without a tokenizer: leave it out")
    if tokenizer is None:
        return Numbers() if ids_only else Pieces(split or "words")
    from verl_df.lab.generation import load_processor

    processor = load_processor(tokenizer)
    return Tokens(getattr(processor, "tokenizer", processor))
