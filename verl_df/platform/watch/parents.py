# SPDX-License-Identifier: Apache-2.0
"""Processes that a watched command ends with, besides the script that the user started.

A script that is ended takes its command along. Whatever starts such scripts, a study or a session of tests, would leave
them running: it puts its own process id into their environment, and their watchers look at it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

VARIABLE = "VERL_DF_END_WITH"


def ending_with_this_process(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment for children that end with this process, and still with those that it is to end with itself."""
    return {**environment, VARIABLE: " ".join([*environment.get(VARIABLE, "").split(), str(os.getpid())])}


def to_end_with(environment: Mapping[str, str]) -> tuple[int, ...]:
    """The process ids named there. Raises: ValueError: something else is."""
    named = environment.get(VARIABLE, "")
    if not all(one.isascii() and one.isdigit() for one in named.split()):
        raise ValueError(f"{VARIABLE}={named!r}: expected process ids with spaces between them; unset it")
    return tuple(map(int, named.split()))
