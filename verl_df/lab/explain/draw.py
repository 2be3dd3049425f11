# SPDX-License-Identifier: Apache-2.0
"""An alignment with its masks and gates, for a terminal."""

import os
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Protocol, TextIO

import numpy as np

from verl_df.lab.visible import visible
from verl_df.method.alignment import Alignment
from verl_df.method.gates import segments

BORDER, BLANK, TAB, LINE_END = "▏", "␣", "⇥", "⏎"
LEGEND = (
    f"[-removed-] {{+added+}} <kept and marked>, {BORDER} ends a token, {BLANK} is a blank, {TAB} a tab, "
    f"{LINE_END} a line feed"
)
_MARKS = {"removed": ("[-", "-]"), "added": ("{+", "+}"), "marked": ("<", ">"), "kept": ("", "")}
_PLAIN = "\x1b[0m"
_COLOURS = {
    "removed": ("\x1b[31;9m", _PLAIN),
    "added": ("\x1b[32m", _PLAIN),
    "marked": ("\x1b[33m", _PLAIN),
    "kept": ("", ""),
}
_SHOWN = 8  # gates of a run


class Side(Protocol):
    """One response: its tokens as text, its mask and its gate, one of each per token."""

    @property
    def tokens(self) -> Sequence[str]: ...
    @property
    def mask(self) -> Sequence[int]: ...
    @property
    def gate(self) -> Sequence[float]: ...


def coloured(stream: TextIO) -> bool:
    """Whether to write colours: to a terminal, unless NO_COLOR is set (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR")


def shown(token: str) -> str:
    """A token with white space as symbols, and with everything hidden, or like those symbols, as escapes."""
    spelled = "".join(
        _escaped(one) if one in (BORDER, BLANK, TAB, LINE_END) or (one.isspace() and one not in " \t\n") else one
        for one in visible(token)
    )
    return spelled.replace(" ", BLANK).replace("\t", TAB).replace("\n", f"{LINE_END}\n")


def draw(error: Side, repair: Side, alignment: Alignment, *, colour: bool) -> str:
    """Both responses in one text, and below it each marked run of tokens with its mask and gate."""
    marks, parts = _COLOURS if colour else _MARKS, []
    for kind, group in groupby(_aligned(error, repair, alignment), key=lambda token: token[0]):
        text = BORDER.join(shown(token) for _, token in group)
        before, after = marks[kind]
        # a line feed inside colours or brackets stays inside; one at the end goes behind them
        inner = text.removesuffix("\n")
        parts.append(f"{before}{inner}{after}{text[len(inner) :]}")
    text = BORDER.join(parts).rstrip("\n").replace(f"\n{BORDER}", f"{BORDER}\n")  # the border of a line's last token
    return "\n".join([text, *_runs("y", error), *_runs("ŷ", repair)])


def _aligned(error: Side, repair: Side, alignment: Alignment) -> Iterator[tuple[str, str]]:
    """Kind and text of every token, removed ones before those that were added in their place."""
    i = 0
    for j, (matched, following) in enumerate(_with_following(alignment.matched.tolist(), len(error.tokens))):
        yield from (("removed", token) for token in error.tokens[i:following])
        i = following
        if matched < 0:
            yield "added", repair.tokens[j]
            continue
        marked = error.mask[matched] or error.gate[matched] or repair.mask[j] or repair.gate[j]
        yield "marked" if marked else "kept", repair.tokens[j]
        i += 1
    yield from (("removed", token) for token in error.tokens[i:])


def _with_following(matched: Sequence[int], length: int) -> list[tuple[int, int]]:
    """For each token of ŷ its position in y, -1 for none, and that of the first token from it on that has one."""
    found, following = [], length
    for position in reversed(matched):
        following = position if position >= 0 else following
        found.append((position, following))
    return found[::-1]


def _runs(name: str, side: Side) -> Iterator[str]:
    for start, end in segments((np.asarray(side.mask) > 0) | (np.asarray(side.gate) > 0)):
        place = str(start) if end == start + 1 else f"{start}-{end - 1}"
        mask = "".join(str(int(one)) for one in side.mask[start:end][:_SHOWN])
        gate = " ".join(f"{one:.3g}" for one in side.gate[start:end][:_SHOWN])
        more = " ..." if end - start > _SHOWN else ""
        text = BORDER.join(map(shown, side.tokens[start:end])).replace("\n", "")
        yield f"  {name} {place:<9} mask {mask}{more}  gate {gate}{more}  {text}"


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
