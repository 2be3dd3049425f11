# SPDX-License-Identifier: Apache-2.0
"""Checks of values that come from a configuration, a reward function or a data set."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from verl_df.io.validation import did_you_mean

PREFERRED = "preferred_response"
MARKERS = ("<image>", "<video>")  # in a text they stand for media of the prompt


def check_choice(key: str, value: object, allowed: Sequence[str]) -> None:
    """Raise ValueError unless `value` is one of `allowed`; the message names `key`, the choices and the nearest one."""
    if value in allowed:
        return
    hint = did_you_mean(str(value), allowed)
    raise ValueError(f"{key}={value!r} is not one of {', '.join(map(repr, allowed))}{hint and '; ' + hint}")


def check_reward(owner: str, reward: float) -> None:
    """Raise ValueError unless `reward` is a number in [0, 1]; the message begins with `owner`."""
    if not (math.isfinite(reward) and 0.0 <= reward <= 1.0):
        raise ValueError(
            f"{owner} has reward {reward}: give the task reward in [0, 1], before any shaping for length or format"
        )


def marker_in(text: str) -> str | None:
    """The first of `MARKERS` that a text holds."""
    return next((marker for marker in MARKERS if marker in text), None)


def preferred_response(extra_info: Mapping[str, Any]) -> str:
    """The preferred response of a row, `extra_info.preferred_response`.

    Raises:
        ValueError: it is missing, no text, blank, or holds a marker to which no image or video belongs.
    """
    value = extra_info.get(PREFERRED)
    if value is None:
        raise ValueError(f"extra_info.{PREFERRED} is missing: references are to be preferred responses")
    if not isinstance(value, str):
        raise ValueError(f"extra_info.{PREFERRED} is {value!r}: write a text")
    if not value.strip():
        raise ValueError(f"extra_info.{PREFERRED} is empty: write a response to the prompt")
    marker = marker_in(value)
    if marker:
        raise ValueError(f"extra_info.{PREFERRED} holds the marker {marker}, to which nothing belongs: take it out")
    return value
