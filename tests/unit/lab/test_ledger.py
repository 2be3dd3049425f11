# SPDX-License-Identifier: Apache-2.0
"""`verl-df ledger`."""

import json
from pathlib import Path

import pytest

from verl_df.cli import main
from verl_df.ledger.memory import ProcessMemory
from verl_df.ledger.rows import LEDGER, Parts, step_row
from verl_df.ledger.spent import LEDGER_FILE


@pytest.fixture
def runs(tmp_path: Path) -> list[str]:
    for name, devices in (("policy", 2), ("repair", 1)):
        rows = [step_row(step, 10.0, Parts(rollout=4.0, update=1.0), devices=devices) for step in (1, 2)]
        LEDGER.write(tmp_path / name / LEDGER_FILE, rows)
    return [str(tmp_path / "policy"), str(tmp_path / "repair" / LEDGER_FILE)]


def test_a_table_for_each_run_and_one_for_all(runs: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ledger", *runs]) == 0
    policy, repair, both = capsys.readouterr().out.split("\n\n")
    assert policy.startswith(f"| {runs[0]}: 2 steps | seconds | share | device-seconds |")
    assert "| rollout | 8.0 | 40.0% | 16.0 |" in policy and "| waiting | 10.0 | 50.0% | 20.0 |" in policy
    assert "| total | 20.0 | 100.0% | 20.0 |" in repair
    assert both.startswith("| all together: 4 steps ") and "| total | 40.0 | 100.0% | 60.0 |" in both


def test_peaks_of_memory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The largest over the steps, of each figure by itself."""

    def memory(update: float, device: dict[str, float]) -> tuple[ProcessMemory, ...]:
        actor = ProcessMemory("actor", 0, 2, {"rollout": 1.0, "update": update}, device)
        return ProcessMemory("trainer", 0, 1, {"rollout": 0.5, "update": 0.25}, {}), actor

    steps = (memory(2.0, {"update": 7.0}), memory(3.0, {"update": 6.0}))
    rows = [step_row(k, 9.0, Parts(), devices=1, memory=one) for k, one in enumerate(steps, 1)]
    LEDGER.write(tmp_path / LEDGER_FILE, rows)
    assert main(["ledger", str(tmp_path)]) == 0
    _, host, device = capsys.readouterr().out.split("\n\n")
    assert host.splitlines()[0] == "| peak of host memory, GiB | step | rollout | update |"
    assert "| actor | 3.00 | 1.00 | 3.00 |" in host and "| trainer | 0.50 | 0.50 | 0.25 |" in host
    assert "| total | 3.50 | - | - |" in host
    assert "| peak of device memory, GiB | step | update |" in device and "| actor | 7.00 | 7.00 |" in device
    assert main(["ledger", "--json", str(tmp_path)]) == 0
    shown = json.loads(capsys.readouterr().out)["runs"][str(tmp_path)]["memory_gib"]
    assert shown["df/memory/actor/update"] == 3.0 and shown["df/memory/device/actor"] == 7.0


def test_json(runs: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ledger", "--json", *runs]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["runs"][runs[0]]["device_seconds"]["rollout"] == 16.0
    assert shown["all"]["steps"] == 4 and shown["all"]["device_seconds"]["total"] == 60.0


def test_bad_input_is_one_line(runs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ledger", str(tmp_path)]) == 1
    assert main(["ledger", runs[0], runs[0]]) == 1
    errors = capsys.readouterr().err.splitlines()
    assert "no ledger there" in errors[0] and "named twice" in errors[1]
