# SPDX-License-Identifier: Apache-2.0
"""Runs that are stopped on their way: each says what happened, where its log is and how to go on, and that works."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import load_file

from tests.e2e.conftest import ROOT, SCRIPT
from verl_df.lab.toy.build import build_stage
from verl_df.lab.toy.settings import SftSettings, ToySettings
from verl_df.lab.toy.sft import run_sft
from verl_df.platform.environment import cpu_environment

TRACKER = "latest_checkpointed_iteration.txt"


def told(output: str) -> dict[str, str]:
    """The rows of the block that a run ends with."""
    rows = output.partition("this run did not come to its end")[2].splitlines()
    return {row[2:14].strip(): row[14:] for row in rows if row.startswith("  ")}


def wait_for(what: Callable[[], bool], process: subprocess.Popen, output: Path) -> None:
    """Until it is so. Raises: AssertionError: the process has ended before."""
    while not what():
        assert process.poll() is None, output.read_text(errors="replace")[-6000:]
        time.sleep(0.02)


# ---- supervised fine-tuning ------------------------------------------------------------------------------------------

SFT = SftSettings(rows=88, steps=30, batch=8, lr=1e-3, warmup=2, save_every=6)
STALL_SECONDS = 90  # longer than the imports of the trainer, which are silent
STAGE = """
import sys
from pathlib import Path
from tests.e2e.test_endings import SFT
from verl_df.lab.toy.sft import run_sft
out = Path(sys.argv[1])
run_sft(out / "init", out / "sft/policy.parquet", out / "stopped", out / "logs/stopped.log", SFT)
"""


def stage(out: Path) -> list[str]:
    options = ["--log", str(out / "stage.log"), "--stall-limit", str(STALL_SECONDS), "--go-on", "the same again"]
    return ["python3", "-m", "verl_df.platform.watch", *options, "--", sys.executable, "-c", STAGE]


def trainers(out: Path) -> list[psutil.Process]:
    """The processes of the SFT trainer that writes below a folder; started warm, they are nobody's descendants."""
    running = [(process, " ".join(process.info["cmdline"] or ())) for process in psutil.process_iter(["cmdline"])]
    return [process for process, line in running if "recipe.df.main_repair_sft" in line and str(out) in line]


def test_a_stopped_sft_is_ended_and_goes_on(tmp_path: Path) -> None:
    """With the weights, bit for bit, that it would have without the interruption."""
    settings = replace(ToySettings(), policy=SFT)
    for name in ("model", "policy-data"):
        build_stage(name, tmp_path, settings)
    environment = {**os.environ, **cpu_environment()}
    output, argv = tmp_path / "output", [*stage(tmp_path), str(tmp_path)]
    with output.open("w") as file, subprocess.Popen(argv, cwd=ROOT, env=environment, stdout=file, stderr=file) as run:
        wait_for((tmp_path / "stopped.checkpoints" / TRACKER).is_file, run, output)
        stopped = trainers(tmp_path)
        for process in stopped:
            process.send_signal(signal.SIGSTOP)
        assert stopped and run.wait() == 124
    while any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in stopped):
        time.sleep(0.02)  # the warm interpreter ends its twins a moment after their stand-ins
    rows = told(output.read_text())
    assert rows["ended"] == f"stopped after {STALL_SECONDS} s without any output (STALL_LIMIT)"
    assert rows["log"] == str(tmp_path / "stage.log") and rows["go on with"] == "the same again"
    first = int((tmp_path / "stopped.checkpoints" / TRACKER).read_text())
    again = subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr[-6000:]
    assert 0 < first < SFT.steps and f"going on after step {first}" in again.stdout
    steps = re.findall(r"\bstep:(\d+) ", (tmp_path / "logs/stopped.log").read_text(errors="replace"))
    assert [int(step) for step in steps] == list(range(first + 1, SFT.steps + 1))
    assert not (tmp_path / "stopped.checkpoints").exists()
    run_sft(tmp_path / "init", tmp_path / "sft/policy.parquet", tmp_path / "whole", tmp_path / "logs/whole.log", SFT)
    whole, stopped_one = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "stopped"))
    assert whole.keys() == stopped_one.keys()
    assert all(torch.equal(whole[name], stopped_one[name]) for name in whole)


# ---- reinforcement learning ------------------------------------------------------------------------------------------

STEPS = 4
# A run whose worker was killed fails at once or hangs, as it comes.
SIZES = {"STEPS": str(STEPS), "PROMPTS": "4", "ROLLOUTS": "4", "STALL_LIMIT": "150"}
OVERRIDES = ("trainer.save_freq=1", "trainer.val_before_train=False", "trainer.test_freq=-1")
WORKER = re.compile(r"\(vLLMHttpServer pid=(\d+)")


@dataclass(frozen=True)
class Attempt:
    status: int
    output: str


@contextmanager
def started(
    world: Path, out: Path, algo: str = "grpo", overrides: Sequence[str] = ()
) -> Iterator[tuple[subprocess.Popen, Path]]:
    """A run and the file that its output goes to. algo: grpo is stock verl."""
    environment = {**os.environ, **SIZES, "ALGO": algo, "WORLD": str(world), "OUT": str(out)}
    output = out.with_name("output")
    with output.open("w") as file:
        argv = ["bash", str(SCRIPT), *OVERRIDES, *overrides]
        with subprocess.Popen(argv, env=environment, stdout=file, stderr=file) as run:
            yield run, output


def attempt(world: Path, out: Path, **settings: Any) -> Attempt:
    with started(world, out, **settings) as (run, output):
        status = run.wait()
    return Attempt(status, output.read_text(errors="replace"))


def steps_logged(out: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (out / "metrics.jsonl").read_text().splitlines()]


def check_told(run: Attempt, out: Path, found: str, *overrides: str) -> None:
    rows = told(run.output)
    assert run.status not in (0, None), run.output[-6000:]
    assert found in rows["found"] and rows["log"] == str(out / "run.log")
    assert f"OUT={out}" in rows["go on with"] and rows["go on with"].endswith(
        " ".join([str(SCRIPT), *OVERRIDES, *overrides])
    )


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[None]:
    """The folder on a disk of its own."""
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("only the administrator can mount a small disk")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Leave no room on its disk. Returns: what takes it up."""
    with (folder / "filler").open("wb", buffering=0) as filler, pytest.raises(OSError):
        while True:
            filler.write(bytes(4096))
    return folder / "filler"


def test_a_killed_worker(world: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with started(world, out) as (run, output):
        wait_for((out / "metrics.jsonl").is_file, run, output)  # a step is logged after its checkpoint
        os.kill(int(WORKER.search(output.read_text(errors="replace"))[1]), signal.SIGKILL)
        status = run.wait()
    check_told(Attempt(status, output.read_text(errors="replace")), out, "a Ray worker died")
    first = int((out / "checkpoints" / TRACKER).read_text())
    again = attempt(world, out)
    assert again.status == 0, again.output[-6000:]
    assert first < STEPS and f"going on after step {first} of {STEPS}" in again.output
    assert steps_logged(out) == list(range(1, STEPS + 1))


def test_a_full_disk(world: Path, tmp_path: Path) -> None:
    """First that of the checkpoints, then that of the pairs."""
    out = tmp_path / "out"
    checkpoints, logs = out / "checkpoints", out / "logs"
    settings = {"algo": "df_grpo", "overrides": (f"df.log.dir={logs}",)}
    with small_disk(checkpoints, 60), small_disk(logs, 4):
        with started(world, out, **settings) as (run, output):
            wait_for((out / "metrics.jsonl").is_file, run, output)
            filler = fill(checkpoints)
            status = run.wait()
        check_told(Attempt(status, output.read_text(errors="replace")), out, "the disk is full", *settings["overrides"])
        filler.unlink()
        first, pairs = int((checkpoints / TRACKER).read_text()), pairs_of(logs)
        assert 0 < first < STEPS and first in pairs

        filler = fill(logs)
        full = attempt(world, out, **settings)
        check_told(full, out, "the disk is full", *settings["overrides"])
        assert int((checkpoints / TRACKER).read_text()) == first
        filler.unlink()

        again = attempt(world, out, **settings)
        assert again.status == 0, again.output[-6000:]
        assert f"going on after step {first} of {STEPS}" in again.output
        assert steps_logged(out) == list(range(1, STEPS + 1))
        last = pairs_of(logs)
        assert sorted({*last}) == list(range(1, STEPS + 1))
        assert [step for step in last if step <= first] == [step for step in pairs if step <= first]


def pairs_of(folder: Path) -> list[int]:
    """The step of each logged pair."""
    return [json.loads(line)["step"] for line in (folder / "pairs.jsonl").read_text().splitlines() if line[-1:] == "}"]
