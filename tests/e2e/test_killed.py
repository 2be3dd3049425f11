# SPDX-License-Identifier: Apache-2.0
"""Runs that are stopped on their way and go on."""

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from tests.e2e.conftest import SCRIPT
from verl_df.platform import warm

STEPS = 3
SIZES = {"STEPS": str(STEPS), "PROMPTS": "4", "ROLLOUTS": "4"}
OVERRIDES = (f"trainer.save_freq={STEPS}", "trainer.val_before_train=False", "trainer.test_freq=-1")
TRACKER = "latest_checkpointed_iteration.txt"
TRAINS = "Training Progress:"
ACTOR = re.compile(r"\((?:\w|:)+ pid=(\d+)\)")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def hear_ctrl_c() -> None:
    """Whatever the tests were started to ignore, as in the background of a shell."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def start(world: Path, out: Path, output: Path, *overrides: str) -> subprocess.Popen:
    """A run on its way; its output goes to a file."""
    environment = {**os.environ, **SIZES, "WORLD": str(world), "OUT": str(out)}
    with output.open("w") as file:
        return subprocess.Popen(
            ["bash", str(SCRIPT), *OVERRIDES, *overrides],
            env=environment,
            stdout=file,
            stderr=file,
            preexec_fn=hear_ctrl_c,
        )


def wait_for(text: str, run: subprocess.Popen, output: Path) -> None:
    """Until the run has said it. Raises: AssertionError: it has ended before."""
    while text not in output.read_text(errors="replace"):
        assert run.poll() is None, output.read_text(errors="replace")[-6000:]
        time.sleep(0.02)


def processes_of(run: subprocess.Popen, output: Path) -> list[psutil.Process]:
    """All that the run has started: its descendants, and actors, which warm starts make somebody else's children.

    The warm interpreter is the session's own.
    """
    spared = {pid for pid, _ in warm.running(Path(os.environ["VERL_DF_WARM_DIR"]))}
    found = [one for one in psutil.Process(run.pid).children(recursive=True) if one.pid not in spared]
    return found + [psutil.Process(int(pid)) for pid in set(ACTOR.findall(output.read_text(errors="replace")))]


def steps_logged(out: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (out / "metrics.jsonl").read_text().splitlines()]


def test_ctrl_c_ends_a_run_after_its_step_with_a_checkpoint(world: Path, out: Path, tmp_path: Path) -> None:
    output, checkpoints = tmp_path / "output", out / "checkpoints"
    with start(world, out, output) as run:
        wait_for(TRAINS, run, output)
        processes = processes_of(run, output)
        run.send_signal(signal.SIGINT)
    said = output.read_text(errors="replace")
    assert run.returncode == 128 + signal.SIGINT, said[-6000:]
    left = [one for one in processes if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
    assert len(processes) > 5 and left == []

    last = int((checkpoints / TRACKER).read_text())
    assert last < STEPS and f"the run stops after step {last}, with a checkpoint" in said
    assert "Ctrl-C: will stop after this step with a checkpoint; press Ctrl-C again to end now\n" in said
    assert "stopped by Ctrl-C, in good order" in said and "Traceback" not in said
    assert [path.name for path in checkpoints.glob("global_step_*")] == [f"global_step_{last}"]
    assert steps_logged(out) == list(range(1, last + 1))

    with start(world, out, output) as again:
        pass
    said = output.read_text(errors="replace")
    assert again.returncode == 0, said[-6000:]
    assert f"going on after step {last} of {STEPS}" in said
    assert steps_logged(out) == list(range(1, STEPS + 1))
