# SPDX-License-Identifier: Apache-2.0
"""One check of a row, for conversion, launch, evaluation, repair data and dry run: what passes, verl can read."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from verl_df.io.picture_sources import PictureError
from verl_df.io.pictures import check_picture
from verl_df.method.checks import preferred_response
from verl_df.rows.columns import COLUMNS, IMAGES, MEDIA, VIDEOS, Media, encodable, other_form, short
from verl_df.rows.faults import Reason, RowError
from verl_df.rows.images import located
from verl_df.rows.special_tokens import SPECIAL_TOKENS
from verl_df.rows.videos import video_problem

ROLES = ("system", "user", "assistant", "tool")


@dataclass(frozen=True)
class RowRules:
    """What is asked of the rows of one file.

    Attributes:
        folder: of the file; images that rows name lie below it.
        prompt_key, image_key, video_key: columns, as in verl's `data` block.
        text_only: whether a row may have no image and no video.
        videos: whether a row may have videos.
        preferred: whether a row needs a preferred response.
        tokens: texts that the model reads as its own tokens.
        by_datasets: whether the file says that its images are of `datasets`' type Image; frames_by_datasets: the same
            of the frames of its videos.
        min_side: pixels that an image has on each side at least.
    """

    folder: Path
    prompt_key: str = "prompt"
    image_key: str = "images"
    video_key: str = "videos"
    text_only: bool = False
    videos: bool = False
    preferred: bool = False
    tokens: frozenset[str] = SPECIAL_TOKENS
    by_datasets: bool = False
    frames_by_datasets: bool = False
    min_side: int = 1

    @cached_property
    def _own_tokens(self) -> re.Pattern[str]:
        tokens = sorted(self.tokens - {one.marker for one in MEDIA}, key=len, reverse=True)
        return re.compile("|".join(map(re.escape, tokens)) or r"(?!)")

    def column_of(self, media: Media) -> str:
        """The column of such media."""
        return {IMAGES: self.image_key, VIDEOS: self.video_key}.get(media, media.column)

    def token_in(self, text: str) -> str | None:
        """The first of the model's own tokens in a text."""
        found = self._own_tokens.search(text)
        return found and found[0]


@dataclass(frozen=True)
class Content:
    """What a row says. images: encoded, one for each marker, in order; the others: see `rows.columns`."""

    messages: list[dict[str, Any]]
    images: tuple[bytes, ...]
    data_source: str
    ground_truth: Any
    extra_info: dict[str, Any]


def check_row(row: Mapping[str, Any], rules: RowRules) -> None:
    """Read a row, decode its images and open its videos. Raises: RowError, for whatever verl could not read."""
    for number, image in enumerate(read_row(row, rules).images):
        try:
            width, height = check_picture(image)
        except PictureError as error:
            raise located(number, error) from error
        if min(width, height) < rules.min_side:
            detail = f"image {number}: {width} x {height} pixels, wanted {rules.min_side}"
            raise RowError(Reason.SMALL_IMAGE, detail)
    problem = video_problem(row.get(rules.video_key), rules.frames_by_datasets) if rules.videos else None
    if problem:
        raise RowError(Reason.UNREADABLE_VIDEO, problem)


def read_row(row: Mapping[str, Any], rules: RowRules) -> Content:
    """A row without its images decoded. Raises: RowError."""
    messages = _messages(row.get(rules.prompt_key), rules)
    media = _media(row, [message["content"] for message in messages], rules)
    others = {column.field: column.read(row.get(column.name)) for column in COLUMNS}
    if rules.preferred:
        try:
            preferred_response(others["extra_info"])
        except ValueError as error:
            raise RowError(Reason.NO_PREFERRED, str(error)) from error
    return Content(messages, media["images"], **others)


def _messages(prompt: Any, rules: RowRules) -> list[dict[str, Any]]:
    if not isinstance(prompt, list | tuple) or not prompt:
        raise other_form("prompt must be a list of messages")
    for message in prompt:
        content = message.get("content") if isinstance(message, Mapping) else None
        if not isinstance(content, str):
            raise other_form("prompt must be a list of messages with a text as content")
        if message.get("role") not in ROLES:
            raise other_form(f"a message's role is {short(message.get('role'))}, not one of {', '.join(ROLES)}")
        token = rules.token_in(encodable("prompt", content))
        if token:
            raise RowError(Reason.SPECIAL_TOKEN, f"prompt: {token}")
    if prompt[-1]["role"] != "user":
        raise other_form("the last message of a prompt must be the user's: there is no question to answer")
    return list(prompt)


def _media(row: Mapping[str, Any], texts: Sequence[str], rules: RowRules) -> dict[str, tuple[bytes, ...]]:
    """The encoded media of each column, by its default name."""
    cells = {media: _cells(row.get(rules.column_of(media)), rules.column_of(media)) for media in MEDIA}
    if not any(cells.values()) and not rules.text_only:
        raise RowError(Reason.NO_IMAGE)
    return {media.column: _checked(media, own, texts, rules) for media, own in cells.items()}


def _checked(media: Media, cells: Sequence[Any], texts: Sequence[str], rules: RowRules) -> tuple[bytes, ...]:
    markers = sum(text.count(media.marker) for text in texts)
    if media is VIDEOS and rules.videos:  # `check_row` opens them
        if markers != len(cells):
            raise RowError(Reason.MARKERS, f"{markers} {media.marker} markers for {len(cells)} {media.column}")
        return ()
    if media.read is None:
        if cells:
            raise other_form(f"the row has {media.column}: a prompt is of text and images")
        if markers:
            raise RowError(Reason.MARKERS, f"a {media.marker} marker")
        return ()
    read = []
    for number, cell in enumerate(cells):
        try:
            read.append(media.read(cell, rules.folder, rules.by_datasets))
        except (RowError, PictureError) as error:
            raise located(number, error) from error
    if markers != len(read):
        raise RowError(Reason.MARKERS, f"{markers} {media.marker} markers for {len(read)} {media.column}")
    return tuple(read)


def _cells(column: Any, name: str) -> Sequence[Any]:
    if column is None:
        return ()
    if not isinstance(column, list | tuple):
        raise other_form(f"{name} is of type {type(column).__name__}, not a list")
    return column
