# SPDX-License-Identifier: Apache-2.0
"""Ray's store, replaced by a list."""

from collections.abc import Sequence
from types import SimpleNamespace

import pytest

from verl_df.adapters.policy_training import group_exchange


class Reference:
    """Of an object in the store."""

    def __init__(self, value: object) -> None:
        self.value = value


@pytest.fixture(autouse=True)
def store(monkeypatch: pytest.MonkeyPatch) -> list:
    """What was put there."""
    kept: list = []

    def put(value: object) -> Reference:
        kept.append(value)
        return Reference(value)

    def get(references: Sequence[Reference]) -> list:
        return [one.value for one in references]

    monkeypatch.setattr(group_exchange, "ray", SimpleNamespace(put=put, get=get))
    monkeypatch.setattr(group_exchange, "ObjectRef", Reference)
    return kept
