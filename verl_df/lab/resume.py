# SPDX-License-Identifier: Apache-2.0
"""Work that was begun goes on with the same settings only."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def check_same_settings(result: Path, there: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Compare the settings of a result, finished or half done, with those of a run that would go on.

    Raises:
        ValueError: with what differs.
    """
    differing = [
        f"{name} {there.get(name)!r} there, {value!r} now" for name, value in now.items() if there.get(name) != value
    ]
    if differing:
        raise ValueError(
            f"{result} was begun with other settings: {'; '.join(differing)}. Give the same ones, or another --out"
        )
