# SPDX-License-Identifier: Apache-2.0
"""One check of a row, for conversion, launch, evaluation, repair data and dry run: what passes, verl can read."""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from verl_df.io.picture_sources import PictureError
from verl_df.io.pictures import check_picture
from verl_df.rows.faults import Reason, RowError
from verl_df.rows.images import encoded_image, located
from verl_df.rows.special_tokens import SPECIAL_TOKENS

ROLES = ("system", "user", "assistant", "tool")


@dataclass(frozen=True)
class RowRules:
    """What is asked of the rows of one file.

    Attributes:
        folder: of the file; images that rows name lie below it.
        prompt_key, image_key: columns, as in verl's `data` block.
        text_only: whether a row may have no image.
        tokens: texts that the model reads as its own tokens.
        by_datasets: whether the file says that its images are of `datasets`' type Image.
        min_side: pixels that an image has on each side at least.
    """

    folder: Path
    prompt_key: str = "prompt"
    image_key: str = "images"
    text_only: bool = False
    tokens: frozenset[str] = SPECIAL_TOKENS
    by_datasets: bool = False
    min_side: int = 1

    @cached_property
    def _own_tokens(self) -> re.Pattern[str]:
        tokens = sorted(self.tokens - {one.marker for one in MEDIA}, key=len, reverse=True)
        return re.compile("|".join(map(re.escape, tokens)) or r"(?!)")

    def token_in(self, text: str) -> str | None:
        """The first of the model's own tokens in a text."""
        found = self._own_tokens.search(text)
        return found and found[0]


@dataclass(frozen=True)
class Media:
    """A column of pictures or the like, each of which has a marker in the prompt.

    Attributes:
        column: its default name.
        marker: as verl looks for it.
        read: the content of a cell; None: such media are not supported.
    """

    column: str
    marker: str
    read: Callable[[Any, RowRules], bytes] | None = None


def _read_image(cell: Any, rules: RowRules) -> bytes:
    return encoded_image(cell, rules.folder, rules.by_datasets)


MEDIA = (Media("images", "<image>", _read_image), Media("videos", "<video>"), Media("audios", "<audio>"))
MARKER = MEDIA[0].marker


@dataclass(frozen=True)
class Content:
    """What a row says. images: encoded, one for each marker, in order; extra_info: {} for null."""

    data_source: str
    messages: list[dict[str, Any]]
    images: tuple[bytes, ...]
    ground_truth: Any
    extra_info: dict[str, Any]


def check_row(row: Mapping[str, Any], rules: RowRules) -> None:
    """Read a row and decode its images. Raises: RowError, for whatever verl could not read."""
    for number, image in enumerate(read_row(row, rules).images):
        try:
            sides = check_picture(image)
        except PictureError as error:
            raise located(number, error) from error
        if min(sides) < rules.min_side:
            raise RowError(
                Reason.SMALL_IMAGE, f"image {number}: {sides[0]} x {sides[1]} pixels, wanted {rules.min_side}"
            )


def read_row(row: Mapping[str, Any], rules: RowRules) -> Content:
    """A row without its images decoded. Raises: RowError."""
    messages = _messages(row.get(rules.prompt_key), rules)
    images = _images(row, rules)
    _check_markers(row, messages, len(images), rules)
    data_source = row.get("data_source")
    if not isinstance(data_source, str):
        raise _other_form(f"data_source is {_short(data_source)}, not a text")
    _check_text("data_source", data_source)
    extra_info = row.get("extra_info")
    if not isinstance(extra_info, dict | None):
        raise _other_form(f"extra_info is {_short(extra_info)}, not a struct")
    return Content(data_source, messages, images, _truth(row.get("reward_model")), extra_info or {})


def _messages(prompt: Any, rules: RowRules) -> list[dict[str, Any]]:
    if not isinstance(prompt, Sequence) or isinstance(prompt, str | bytes) or not prompt:
        raise _other_form("prompt must be a list of messages")
    for message in prompt:
        content = message.get("content") if isinstance(message, Mapping) else None
        if not isinstance(content, str):
            raise _other_form("prompt must be a list of messages with a text as content")
        if message.get("role") not in ROLES:
            raise _other_form(f"a message's role is {_short(message.get('role'))}, not one of {', '.join(ROLES)}")
        _check_text("prompt", content)
        token = rules.token_in(content)
        if token:
            raise RowError(Reason.SPECIAL_TOKEN, f"prompt: {token}")
    if prompt[-1]["role"] != "user":
        raise _other_form("the last message of a prompt must be the user's: there is no question to answer")
    return list(prompt)


def _images(row: Mapping[str, Any], rules: RowRules) -> tuple[bytes, ...]:
    cells = _cells(row.get(rules.image_key), rules.image_key)
    if not cells and not rules.text_only:
        raise RowError(Reason.NO_IMAGE)
    images = []
    for number, cell in enumerate(cells):
        try:
            images.append(_read_image(cell, rules))
        except (RowError, PictureError) as error:
            raise located(number, error) from error
    return tuple(images)


def _check_markers(row: Mapping[str, Any], messages: Iterable[Mapping[str, Any]], images: int, rules: RowRules) -> None:
    texts = [message["content"] for message in messages]
    for media in MEDIA:
        markers, wanted = sum(text.count(media.marker) for text in texts), images
        if media.read is None:
            wanted = 0
            if _cells(row.get(media.column), media.column):
                raise _other_form(f"the row has {media.column}: a prompt is of text and images")
            if markers:
                raise RowError(Reason.MARKERS, f"a {media.marker} marker")
        if markers != wanted:
            detail = f"{markers} {media.marker} markers for {wanted} {media.column}"
            raise RowError(Reason.MARKERS, detail)


def _cells(column: Any, name: str) -> Sequence[Any]:
    if column is None:
        return ()
    if not isinstance(column, list | tuple):
        raise _other_form(f"{name} is of type {type(column).__name__}, not a list")
    return column


def _truth(reward_model: Any) -> Any:
    if not isinstance(reward_model, Mapping | None):
        raise _other_form(f"reward_model is {_short(reward_model)}, not a struct")
    truth = (reward_model or {}).get("ground_truth")
    if truth is None or (isinstance(truth, float) and math.isnan(truth)):
        raise RowError(Reason.NO_ANSWER, "reward_model.ground_truth is missing: a response cannot be judged")
    if isinstance(truth, str):
        _check_text("reward_model.ground_truth", truth)
    return truth


def _check_text(name: str, text: str) -> None:
    problem = unencodable(text)
    if problem:
        raise _other_form(f"{name} {problem}")


def unencodable(text: str) -> str | None:
    """What keeps a text from being written as UTF-8, in words; None: nothing."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return f"holds half a surrogate pair, {ascii(text[error.start])}, at character {error.start}"
    return None


def _other_form(detail: str) -> RowError:
    return RowError(Reason.OTHER_FORM, detail)


def _short(value: Any) -> str:
    shown = ascii(value) if isinstance(value, str) else repr(value)
    return shown if len(shown) <= 80 else f"{shown[:77]}..."
