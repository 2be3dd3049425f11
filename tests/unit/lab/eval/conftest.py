# SPDX-License-Identifier: Apache-2.0
"""What the tests of evaluations share."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def model(policy_folder: Path) -> Path:
    """All of a model that is looked at before it is loaded."""
    return policy_folder
