# SPDX-License-Identifier: Apache-2.0
"""The columns of a row, each described once: how it is read, and what is refused."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from verl_df.rows.faults import Reason, RowError
from verl_df.rows.images import encoded_image


@dataclass(frozen=True)
class Column:
    """A column that says something of its own.

    Attributes:
        name: of the column.
        field: of `rows.check.Content`, which holds what is read.
        read: the content of a cell. Raises: RowError.
        needed: whether a file must have it.
    """

    name: str
    field: str
    read: Callable[[Any], Any]
    needed: bool = True


@dataclass(frozen=True)
class Media:
    """A column of pictures or the like, each of which has a marker in the prompt.

    Attributes:
        column: its default name.
        marker: as verl looks for it.
        read: the content of a cell, from the cell, the folder of the file, and whether `datasets` decodes the column;
            None: such media are refused, or have a check of their own.
    """

    column: str
    marker: str
    read: Callable[[Any, Path, bool], bytes] | None = None


def _data_source(value: Any) -> str:
    if not isinstance(value, str):
        raise other_form(f"data_source is {short(value)}, not a text")
    return encodable("data_source", value)


def _ground_truth(reward_model: Any) -> Any:
    if not isinstance(reward_model, Mapping | None):
        raise other_form(f"reward_model is {short(reward_model)}, not a struct")
    truth = (reward_model or {}).get("ground_truth")
    if truth is None or (isinstance(truth, float) and math.isnan(truth)):
        raise RowError(Reason.NO_ANSWER, "reward_model.ground_truth is missing: a response cannot be judged")
    return encodable("reward_model.ground_truth", truth) if isinstance(truth, str) else truth


def _extra_info(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict | None):
        raise other_form(f"extra_info is {short(value)}, not a struct")
    return value or {}


COLUMNS = (
    Column("data_source", "data_source", _data_source),
    Column("reward_model", "ground_truth", _ground_truth),
    Column("extra_info", "extra_info", _extra_info, needed=False),
)
IMAGES = Media("images", "<image>", encoded_image)
VIDEOS = Media("videos", "<video>")
MEDIA = (IMAGES, VIDEOS, Media("audios", "<audio>"))
MARKER = IMAGES.marker


def unencodable(text: str) -> str | None:
    """What keeps a text from being written as UTF-8, in words; None: nothing."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return f"holds half a surrogate pair, {ascii(text[error.start])}, at character {error.start}"
    return None


def encodable(name: str, text: str) -> str:
    """The text itself. Raises: RowError where UTF-8 cannot hold it."""
    problem = unencodable(text)
    if problem:
        raise other_form(f"{name} {problem}")
    return text


def other_form(detail: str) -> RowError:
    """A value of another kind than verl reads."""
    return RowError(Reason.OTHER_FORM, detail)


def short(value: Any) -> str:
    """A value in a message."""
    shown = ascii(value) if isinstance(value, str) else repr(value)
    return shown if len(shown) <= 80 else f"{shown[:77]}..."
