# SPDX-License-Identifier: Apache-2.0
"""Ray's store, replaced: what is put there stays where it is."""

from types import SimpleNamespace

import pytest

from verl_df.adapters.policy_training import group_exchange


@pytest.fixture(autouse=True)
def store(monkeypatch: pytest.MonkeyPatch) -> list:
    """What was put there."""
    kept: list = []

    def put(value: object) -> object:
        kept.append(value)
        return value

    monkeypatch.setattr(group_exchange, "ray", SimpleNamespace(put=put, get=lambda references: references))
    return kept
