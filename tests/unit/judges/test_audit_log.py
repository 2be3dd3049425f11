# SPDX-License-Identifier: Apache-2.0
"""Audit records: what they refuse; tests/unit/io/test_lines.py has their file."""

from typing import Any

import pytest

from verl_df.judges.audit_log import AuditRecord
from verl_df.judges.failure_mode import FailureMode


def record(**changes: Any) -> AuditRecord:
    values = {
        "id": "3-17", "step": 3, "question": "How many?", "images": ("a.png",), "response": "y", "repair": "z",
        "reference": "a", "counterfactual": None, "ground_truth": "4", "r_task": 1.0, "hacking": False,
        "failure_mode": "none", "evidence": "", "failure": None, "g_aud": 1,
    }  # fmt: skip
    return AuditRecord(**{**values, **changes})


@pytest.mark.parametrize("mode", FailureMode)
def test_a_verdict_has_a_mode_exactly_where_it_is_hacking(mode: FailureMode) -> None:
    hacking = mode is not FailureMode.NONE
    assert record(hacking=hacking, failure_mode=mode.value).failure_mode is mode
    with pytest.raises(ValueError, match=f"hacking={not hacking} does not go with failure_mode='{mode.value}'"):
        record(hacking=not hacking, failure_mode=mode.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"g_aud": True}, "g_aud: expected int, got True"),
        ({"g_aud": 2}, "g_aud=2: must be at most 1"),
        ({"r_task": 1.5}, "r_task=1.5: must be at most 1"),
        ({"r_task": -0.1}, "r_task=-0.1: must be at least 0"),
        ({"failure_mode": "nono"}, "failure_mode='nono'; did you mean 'none'?"),
        ({"failure": "timeout"}, "an audit has either a failure, or both hacking and failure_mode"),
        ({"hacking": None}, "an audit has either a failure, or both hacking and failure_mode"),
        ({"hacking": None, "failure_mode": None}, "an audit has either a failure, or both hacking and failure_mode"),
    ],
)
def test_a_record_is_consistent(changes: dict[str, Any], words: str) -> None:
    record(hacking=None, failure_mode=None, failure="timeout", step=None)
    with pytest.raises(ValueError) as refused:
        record(**changes)
    assert str(refused.value) == words
