# SPDX-License-Identifier: Apache-2.0
"""Who may import whom: the contracts in pyproject.toml, and that they are not empty words."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests import ROOT


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """What import-linter says of the packages in a folder."""
    program = Path(sys.executable).with_name("lint-imports")
    return subprocess.run([program, "--no-cache"], cwd=folder, capture_output=True, text=True, timeout=120)


def test_contracts_hold() -> None:
    result = lint(ROOT)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("verl_df/judges/choices.py", "import verl_df.lab.data", "Layers"),
        ("verl_df/method/gates.py", "import torch", "The method needs"),
        ("verl_df/adapters/repair_training/trainer.py", "import verl_df.adapters.policy_training.rows", "Training a"),
        ("verl_df/method/gates.py", "import verl_df.method.feedback", "No cycles"),
    ],
)
def test_each_contract_can_be_broken(file: str, line: str, contract: str, tmp_path: Path) -> None:
    for name in ("verl_df", "recipe"):
        subprocess.run(["cp", "-r", str(ROOT / name), str(tmp_path)], check=True)
    (tmp_path / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    with (tmp_path / file).open("a", encoding="utf-8") as source:
        source.write(f"\n{line}\n")
    result = lint(tmp_path)
    assert result.returncode == 1
    assert any(said.startswith(contract) and said.endswith("BROKEN") for said in result.stdout.splitlines())
