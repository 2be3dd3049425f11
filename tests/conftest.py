# SPDX-License-Identifier: Apache-2.0
"""Markers and time limits by folder, and the CPU platform for every test."""

import os
from pathlib import Path

import pytest

from verl_df.platform.environment import cpu_environment

E2E_FOLDER = Path(__file__).parent / "e2e"
# The first test that needs it also waits for the toy world (15 minutes) and the recorded run (5).
E2E_SECONDS = 2400

# Before any test imports torch or verl, which read these once. What the caller has set is kept.
for _name, _value in cpu_environment().items():
    os.environ.setdefault(_name, _value)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what lies in tests/e2e as `e2e`, with its own time limit; everything else is a unit test."""
    for item in items:
        if E2E_FOLDER in item.path.parents:
            item.add_marker(pytest.mark.e2e)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(E2E_SECONDS))
