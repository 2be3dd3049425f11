# SPDX-License-Identifier: Apache-2.0
"""The command `verl-df`."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from verl_df.cli import COMMANDS, main

OURS = [name for name, command in COMMANDS.items() if not command.hydra]


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == main([]) == 0
    shown = capsys.readouterr().out
    assert all(f"\n  {name} " in shown and command.help in shown for name, command in COMMANDS.items())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_has_examples(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    if COMMANDS[name].hydra:
        assert main([name, "--help"]) == 0
    else:
        with pytest.raises(SystemExit) as ended:
            main([name, "--help"])
        assert ended.value.code == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert len([line for line in lines if line.startswith((f"verl-df {name} ", f"GPU_GB=48 verl-df {name} "))]) >= 2


@pytest.mark.parametrize(
    ("given", "said"), [("repot", "did you mean 'report'?"), ("xyz", "it is one of train, train-repair, check")]
)
def test_an_unknown_command_is_one_line(given: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([given]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("name", OURS)
def test_an_unknown_option_is_a_usage_error(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([name, "--no-such-option"])
    assert ended.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"verl-df {name}: error: ")


@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "no.such.module"],
        ["data", "convert", "jsonl", "--out", "out"],
        ["repair-data", "export", "nowhere"],
        ["eval", "run", "--data", "a=b", "--out", "out"],
        ["align", "nowhere", "nowhere"],
        ["explain", "nowhere"],
        ["repair-eval"],
        ["checkpoint", "merge", "nowhere", "--out", "out"],
        ["audit", "report", "nowhere"],
        ["report", "--run", "nowhere"],
        ["tiny", "rows", "rl", "--out", "file/rows.parquet"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_bad_input_is_one_line_and_exit_code_1(
    arguments: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    assert main(arguments) == 1
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith("error: ")


def test_the_exit_code_is_that_of_the_process() -> None:
    for module in ("verl_df", "verl_df.lab.report"):
        arguments = ["report"] if module == "verl_df" else []
        command = [sys.executable, "-m", module, *arguments, "--run", "nowhere"]
        result = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert result.returncode == 1 and result.stderr.startswith("error: ")


def test_train_hands_its_settings_to_hydra() -> None:
    command = [sys.executable, "-m", "verl_df", "train", "df.gate.lo=1"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 1 and result.stderr.splitlines()[-1].startswith("error: unknown key 'df.gate.lo'")


def test_parsers_need_nothing_heavy() -> None:
    modules = [COMMANDS[name].module for name in OURS]
    code = f"import importlib, sys; [importlib.import_module(name) for name in {modules}]"
    result = python(f"{code}; print({{'torch', 'ray', 'verl', 'vllm'}} & set(sys.modules))")
    assert result.stdout == "set()\n", result.stderr


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["rep"], ["repair-data", "repair-eval", "report"]),
        (["checkpoint", ""], ["check", "merge", "validate"]),
        (["tiny", "model", "qwen"], ["qwen2_5_vl", "qwen3_vl"]),
        (["report", "--ru"], ["--run"]),
        (["report", "--run", "fol"], ["folder"]),
    ],
    ids=str,
)
def test_bash_completes(words: list[str], offered: list[str], capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    assert main(["completion", "bash"]) == 0
    (tmp_path / "completion").write_text(capsys.readouterr().out)
    (tmp_path / "folder").mkdir()
    line = ["verl-df", *words]
    code = f"source completion; COMP_WORDS=({' '.join(map(repr, line))}); COMP_CWORD={len(words)}; _shtab_verl_df"
    command = ["bash", "-c", f'{code} verl-df "${{COMP_WORDS[-1]}}" ""; printf "%s\\n" "${{COMPREPLY[@]}}"']
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=30)
    assert set(result.stdout.split()) >= set(offered), result


def test_completion_for_zsh(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "zsh"]) == 0
    script = capsys.readouterr().out
    assert script.startswith("#compdef verl-df\n") and all(f"\n    {name}:'" in script for name in COMMANDS)
    assert '"--run[folder with metrics.jsonl and pairs.jsonl]:run:_files"' in script
    if shell := shutil.which("zsh"):
        subprocess.run([shell, "-n"], input=script, text=True, check=True, timeout=30)
