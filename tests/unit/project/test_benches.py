# SPDX-License-Identifier: Apache-2.0
"""The benchmarks that need no model run to their end, on the smallest sizes. What they measure is not looked at."""

import json
import subprocess
import sys
from pathlib import Path

from tests import ROOT


def output(script: str, *arguments: str) -> str:
    command = [sys.executable, str(ROOT / "scripts/bench" / script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_alignment() -> None:
    assert output("alignment.py", "--tokens", "50", "--rounds", "1").count("ratio") == 4


def test_the_hot_path() -> None:
    table = output("hot_path.py", *"--prompts 2 --rollouts 2 --tokens 50 --side 56".split())
    assert [line.split()[0] for line in table.splitlines()[2:]] == ["read", "rows", "groups"]


def test_pairs_are_a_table_a_file_and_a_picture(tmp_path: Path) -> None:
    files = ["--json", str(tmp_path / "a.json"), "--plot", str(tmp_path / "a.svg")]
    table = output("pairs.py", "--tokens", "40", "4000", "--rounds", "1", *files)
    assert "| 4,000 |" in table
    assert json.loads((tmp_path / "a.json").read_text())["40"]["pair"] > 0
    assert (tmp_path / "a.svg").stat().st_size > 1000
