# SPDX-License-Identifier: Apache-2.0
"""The command `verl-df`."""

import importlib
import subprocess
import sys

import pytest

from verl_df.cli import COMMANDS, main


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == main([]) == 0
    shown = capsys.readouterr().out
    assert all(f"\n  {name} " in shown and command.help in shown for name, command in COMMANDS.items())


@pytest.mark.parametrize(
    ("given", "said"), [("repot", "did you mean 'report'?"), ("xyz", "it is one of train, train-repair, check")]
)
def test_an_unknown_command_is_one_line(given: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([given]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("name", [name for name, command in COMMANDS.items() if not command.replaces])
def test_every_command_has_its_program(name: str) -> None:
    assert callable(importlib.import_module(COMMANDS[name].module).main)


def test_bad_input_is_one_line_and_exit_code_1(capsys: pytest.CaptureFixture[str], tmp_path) -> None:
    assert main(["report", "--run", str(tmp_path / "nowhere")]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_train_hands_its_settings_to_hydra() -> None:
    command = [sys.executable, "-m", "verl_df", "train", "df.gate.lo=1"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 1 and result.stderr.splitlines()[-1].startswith("error: unknown key 'df.gate.lo'")
