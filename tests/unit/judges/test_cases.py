# SPDX-License-Identifier: Apache-2.0
"""Answers that public reports of wrong rewards are about, by kind of fault: cases.jsonl, one ground truth a line."""

import json
from pathlib import Path

import pytest

from verl_df.judges import score

LINES = Path(__file__).with_name("cases.jsonl").read_text(encoding="utf-8").splitlines()
CASES = [
    pytest.param(case, response, right, id=f"{case['kind']}: {case['truth']} / {response}")
    for case in map(json.loads, LINES)
    for name, right in (("right", 1.0), ("wrong", 0.0))
    for response in case.get(name, [])
]


@pytest.mark.parametrize(("case", "response", "right"), CASES)
def test_case(case, response, right):
    extra = dict(case.get("extra_info", {}))
    if "choices" in case:
        extra["choices"] = case["choices"]
    found = score.compute_score(case.get("source", ""), response, case["truth"], extra)
    assert found["acc"] == right
    assert found["doubtful"] in (0.0, 1.0 - right)
