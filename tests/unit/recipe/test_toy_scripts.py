# SPDX-License-Identifier: Apache-2.0
"""The toy's scripts with a Python that trains nothing: when a run goes on, when it starts over, and what it says."""

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import ROOT
from tests.unit.adapters.support import composed

RL, REPAIR_RL = "examples/toy/run_toy_qwen2_5_vl.sh", "examples/toy/run_toy_repair_rl.sh"
# Saves like verl's trainer after step $REACH; "trains" by writing down what it was called with. Merges, too.
PYTHON = """#!/usr/bin/env bash
printf '%s\\n' "$@" >"$OUT/called"
if [[ "$*" == *model_merger* ]]; then mkdir -p "$OUT/model.part"; touch "$OUT/merged"; exit 0; fi
touch "$OUT/trained"
mkdir -p "$OUT/checkpoints/global_step_$REACH"
echo "$REACH" >"$OUT/checkpoints/latest_checkpointed_iteration.txt"
exit "$STATUS"
"""
Start = Callable[..., subprocess.CompletedProcess]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def start(tmp_path: Path, out: Path) -> Start:
    """Starts a script whose training gets to step `reach` of 20, and ends with `status`."""
    python = tmp_path / "python"
    python.write_text(PYTHON)
    python.chmod(0o755)

    def run(*overrides: str, script: str = RL, reach: int = 20, status: int = 0, **variables: str):
        fixed = {
            "PATH": os.environ["PATH"],
            "PYTHON": str(python),
            "OUT": str(out),
            "VERL_DF_WARM": "0",
            "WORLD": str(tmp_path / "world"),
        }
        environment = {**fixed, "REACH": str(reach), "STATUS": str(status), **variables}
        command = ["bash", script, *overrides]
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240)

    return run


def steps(out: Path) -> set[str]:
    return {path.name for path in (out / "checkpoints").glob("global_step_*")}


def test_an_interrupted_run_goes_on_and_a_finished_one_starts_over(start: Start, out: Path) -> None:
    first = start(reach=5, status=1)  # whether there is a world or not
    assert first.returncode == 1 and "going on" not in first.stderr and "starting over" not in first.stderr
    (out / "checkpoints/global_step_10").mkdir()  # half written: verl's tracker does not know it
    second = start(reach=10, status=1)
    assert f"going on after step 5 of 20, from {out}/checkpoints" in second.stderr
    assert steps(out) == {"global_step_5", "global_step_10"}
    third = start()
    assert third.returncode == 0 and "going on after step 10 of 20" in third.stderr
    assert steps(out) == {"global_step_10", "global_step_20"}
    fourth = start(reach=5)
    assert f"the run in {out} is finished (20 steps): starting over" in fourth.stderr and steps(out) == {
        "global_step_5"
    }
    assert "run=toy" in (out / "called").read_text().splitlines() and composed("run=toy").trainer.resume_mode == "auto"


@pytest.mark.parametrize(("overrides", "variables"), [(["df.gate.kind=soft"], {}), ([], {"LR": "1e-3"})])
def test_other_settings_do_not_go_on(start: Start, out: Path, overrides: list[str], variables: dict) -> None:
    start(reach=5, status=1)
    other = start(*overrides, reach=10, **variables)
    assert "had other settings" in other.stderr and steps(out) == {"global_step_10"}


def test_another_policy_does_not_go_on(start: Start, out: Path, tmp_path: Path) -> None:
    policy = tmp_path / "policy"
    policy.mkdir()
    for weights in ("one", "two"):
        (policy / "model.safetensors").write_text(weights)
        last = start(reach=5, status=1, POLICY=str(policy))
    assert "its inputs have changed: starting over" in last.stderr


@pytest.mark.parametrize(
    "key", ["trainer.resume_mode=disable", "trainer.resume_from_path=x", "trainer.default_local_dir=x"]
)
def test_who_says_how_to_resume_is_left_alone(start: Start, out: Path, key: str) -> None:
    start()
    assert "starting over" not in start(key, reach=5).stderr
    assert steps(out) == {"global_step_20", "global_step_5"}


def test_fewer_steps_by_an_override_are_the_run_s_end(start: Start) -> None:
    start("trainer.total_training_steps=10", reach=10)
    assert "is finished (10 steps)" in start("trainer.total_training_steps=10", reach=10).stderr


def test_a_run_without_a_checkpoint_starts_over(start: Start, out: Path) -> None:
    start(reach=5, status=1)
    (out / "checkpoints/latest_checkpointed_iteration.txt").write_text("")
    assert "ended before its first checkpoint" in start().stderr


def test_a_repair_model_that_was_trained_is_only_merged(start: Start, out: Path) -> None:
    assert start(script=REPAIR_RL).returncode == 0
    assert (out / "model").is_dir() and not (out / "model.part").exists()
    for name in ("trained", "merged"):
        (out / name).unlink()
    (out / "model").rmdir()  # the merge was interrupted
    assert start(script=REPAIR_RL).returncode == 0
    assert (out / "model").is_dir() and not (out / "trained").exists()
    (out / "merged").unlink()
    assert "is finished (20 steps): starting over" in start(script=REPAIR_RL).stderr
    assert (out / "trained").exists() and (out / "merged").exists()


def test_the_message_names_log_and_command(start: Start, out: Path) -> None:
    run = start("df.gate.kind=soft", "a b", reach=5, status=3, ALGO="df_gspo")
    assert run.returncode == 3
    assert f"log         {out}/run.log" in run.stderr
    (line,) = re.findall(r"go on with  (.*)", run.stderr)
    assert line.startswith("ALGO=df_gspo OUT=") and line.endswith(rf"bash {RL} df.gate.kind=soft a\ b")


def test_the_old_limit_is_said_to_be_gone(start: Start) -> None:
    assert "TIME_LIMIT=100 has no effect: the limit is STALL_LIMIT now" in start(TIME_LIMIT="100").stderr
    assert "STALL_LIMIT" not in start().stderr


@pytest.mark.parametrize("script", ["build_world.sh", "run_toy_repair_sft.sh"])
def test_the_stages_are_watched(start: Start, out: Path, tmp_path: Path, script: str) -> None:
    out.mkdir()
    run = start(str(tmp_path / "world"), script=f"examples/toy/{script}", status=3, reach=1)
    assert run.returncode == 3 and f"bash examples/toy/{script} {tmp_path}/world" in run.stderr
    assert f"log         {tmp_path}/world/logs/" in run.stderr
