# SPDX-License-Identifier: Apache-2.0
"""Why a row is left out of a conversion, or refused before a run."""

from enum import StrEnum

from verl_df.io.picture_sources import PictureFault


class Reason(StrEnum):
    """The whole vocabulary."""

    NO_IMAGE = "no image"
    UNREADABLE_IMAGE = PictureFault.UNREADABLE.value
    SMALL_IMAGE = "image is too small"
    LARGE_IMAGE = PictureFault.LARGE.value
    NARROW_IMAGE = PictureFault.NARROW.value
    DEEP_IMAGE = PictureFault.DEEP.value
    UNREADABLE_VIDEO = "video cannot be read"
    MARKERS = "images and markers differ"
    SPECIAL_TOKEN = "text holds a token of a model"
    NO_QUESTION = "no question"
    NO_ANSWER = "no answer"
    NO_PREFERRED = "no preferred response"
    NOT_A_CHOICE = "answer is not one of the choices"
    UNPARSED_ANSWER = "answer does not parse"
    OTHER_FORM = "row is not of the source's form"


class RowError(Exception):
    """A row that cannot be used. reason: from the vocabulary; detail: what exactly, for people."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else str(reason))
        self.reason = reason
        self.detail = detail
