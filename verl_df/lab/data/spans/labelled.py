# SPDX-License-Identifier: Apache-2.0
"""What every source gives: responses to a prompt, with their wrong characters."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from verl_df.lab.data.fields import Row
from verl_df.lab.data.images import Files
from verl_df.lab.data.spans.differences import Span
from verl_df.rows.columns import MARKER


class LeftOut(Exception):
    """A row without a truth that could be used. reason: of the summary; detail: what exactly, for people."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason, self.detail = reason, detail


@dataclass(frozen=True)
class Response:
    """A response. wrong: its wrong characters, none of a right one. repair: the right text, where it is known."""

    text: str
    wrong: tuple[Span, ...]
    repair: str | None = None


@dataclass(frozen=True)
class Labelled:
    """A row of a source.

    Attributes:
        prompt: with a marker for each image.
        images: encoded as in the source.
        ground_truth: what the reward function compares a repair with.
        responses: right ones first.
        extra_info: for the reward function.
    """

    prompt: str
    images: tuple[bytes, ...]
    ground_truth: str
    responses: tuple[Response, ...]
    extra_info: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SpanSource:
    """A data set whose wrong characters are known.

    Attributes:
        name: on the command line, and the rows' data_source.
        hub: its name on the Hugging Face hub.
        read: makes a `Labelled` of a row. Raises: LeftOut or RowError for one that is left out, ValueError for one that
            is not of the source's form, which ends the conversion.
        licence: as the source states it.
        reward: `--reward-path` for repairs of its responses.
        split: of the hub's rows.
        downloads: files of the hub's repository, where they are not rows that can be streamed.
    """

    name: str
    hub: str
    read: Callable[[Row, Files], Labelled]
    licence: str
    reward: str
    split: str = "train"
    downloads: tuple[str, ...] = ()


def with_markers(prompt: str, images: int) -> str:
    """A prompt whose images come first, unless it says where they belong."""
    return prompt if MARKER in prompt else MARKER * images + prompt
