# SPDX-License-Identifier: Apache-2.0
"""Checks of values that come from a configuration, a reward function or a data set."""

import math
from collections.abc import Sequence

from verl_df.io.validation import did_you_mean


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
