# SPDX-License-Identifier: Apache-2.0
"""Old names in users' commands go on working, with one line that names the new one."""

import subprocess
import sys

import pytest

from verl_df.moved import MOVED


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("name", [name for name in MOVED if name != "verl_df.evaluation.score"])
def test_old_commands_run(name: str) -> None:
    result = python("-m", name, "--help")
    assert result.returncode == 0 and "usage:" in result.stdout.lower() or "verl-df" in result.stdout
    assert [line for line in result.stderr.splitlines() if line.startswith("note:")] == [
        f"note: {name} is {MOVED[name]} now"
    ]


def test_an_old_reward_path_is_imported() -> None:
    program = "import importlib; print(importlib.import_module('verl_df.evaluation.score').compute_score.__name__)"
    result = python("-c", program)
    assert result.stdout == "compute_score\n"
    assert result.stderr == "note: verl_df.evaluation.score is verl_df.judges.score now\n"


def test_other_names_stay_unknown() -> None:
    with pytest.raises(ModuleNotFoundError, match="verl_df.datum"):
        __import__("verl_df.datum")
    result = python("-m", "verl_df.data.no_such_module")
    assert result.returncode == 1 and "No module named" in result.stderr and "note" not in result.stderr


def test_the_old_dry_run_runs() -> None:
    result = python("-m", "recipe.df.dry_run", "no.such.module")
    assert result.returncode == 1 and "`verl-df check`" in result.stderr and "a dry run knows" in result.stderr
