# SPDX-License-Identifier: Apache-2.0
"""The page of the first launch: metrics that it names exist."""

import ast
import importlib.util
import re
from pathlib import Path

import pytest

from tests import ROOT

PAGE = (ROOT / "docs/first_launch.md").read_text()
VERLS = ("verl.trainer.ppo.metric_utils", "verl.utils.debug.metrics", "verl.trainer.ppo.v1.trainer_base")
NAMED = sorted(set(re.findall(r"`((?:df|training|actor|critic|perf|timing_s)/[\w/*-]+)`", PAGE)))


def literals() -> list[str]:
    """Strings in the sources of ours and verl's that make metrics, as patterns: an inserted value matches anything."""
    paths = [*(ROOT / "verl_df/method").rglob("*.py"), *(ROOT / "verl_df/adapters").rglob("*.py")]
    paths += [Path(str(importlib.util.find_spec(name).origin)) for name in VERLS]
    paths += (Path(str(importlib.util.find_spec("verl.workers").origin)).parent).rglob("*.py")
    found = []
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(re.escape(node.value))
            elif isinstance(node, ast.JoinedStr):
                parts = (re.escape(part.value) if isinstance(part, ast.Constant) else r"[\w-]+" for part in node.values)
                found.append("".join(parts))
    return found


@pytest.fixture(scope="module")
def pattern() -> re.Pattern[str]:
    # verl puts `actor/` before what its workers report
    names = [literal for literal in literals() if re.fullmatch(r"[\w\\/\[\]+-]+", literal) and len(literal) > 3]
    names = [name for name in names if re.search(r"\w{3}", name.replace(r"[\w-]+", ""))]
    return re.compile("|".join(f"(?:actor/)?(?:{name})" for name in names))


@pytest.mark.parametrize("name", NAMED)
def test_the_metrics_exist(name: str, pattern: re.Pattern[str]) -> None:
    assert pattern.fullmatch(name.replace("*", "wrong")), name


def test_a_metric_that_does_not_exist_would_be_found(pattern: re.Pattern[str]) -> None:
    assert len(NAMED) > 20
    assert not pattern.fullmatch("df/repair_rate") and not pattern.fullmatch("training/rollout_diff")
