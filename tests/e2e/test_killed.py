# SPDX-License-Identifier: Apache-2.0
"""One run that is stopped by Ctrl-C, then killed with SIGKILL in each phase of a step, and goes on each time.

It records what its policy samples, and a second run, which nobody interrupts, replays that: from there on every number
is computed on the same rows in the same order, and equality is exact. Repairs are greedy and
one a rollout: what vLLM samples from one seed depends on what else is in its batch. The seeds are compared.
"""

import json
import os
import re
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from tests.e2e.conftest import SCRIPT, STEPS, rollout_record
from tests.e2e.phases import PHASES, STOP_READY, WORKERS
from verl_df.platform import warm

STOPPED, KILLED = 1, 2  # the steps in which it happens
SIZES = {"STEPS": str(STEPS), "PROMPTS": "8", "ROLLOUTS": "8", "LR": "1e-3"}
OVERRIDES = (
    "trainer.save_freq=2",  # not after the step in which the run is stopped
    "trainer.max_actor_ckpt_to_keep=3",
    "trainer.val_before_train=False",
    "trainer.test_freq=-1",
    "df.repair.n=1",
    "df.repair.temperature=0",
    "df.log.pairs_per_step=-1",
)
# what the phases behind generation work on is recorded: the worker of the agent loops comes before them
HITS = (PHASES[0], *WORKERS, *PHASES[1:])
TRACKER = "latest_checkpointed_iteration.txt"
ACTOR = re.compile(r"\((?:\w|:)+ pid=(\d+)\)")
BY_CHANCE = ("uid", "key")


@dataclass(frozen=True)
class Attempt:
    """One start of a run.

    last: step of the newest checkpoint when it had ended. saved: the folders of checkpoints then. watched: how many of
    its processes were known, and left: those of them that had not ended.
    """

    status: int
    said: str
    last: int
    saved: list[str]
    watched: int
    left: list[psutil.Process]


@dataclass(frozen=True)
class Interrupted:
    """The run and its starts. logged: its metrics when it was stopped. killed: by phase, and by worker."""

    out: Path
    stopped: Attempt
    logged: list[dict[str, Any]]
    killed: dict[str, Attempt]
    finished: Attempt


def hear_ctrl_c() -> None:
    """Whatever the tests were started to ignore, as in the background of a shell."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def start(world: Path, out: Path, rollouts: Path, hit: str = "") -> tuple[subprocess.Popen, Path]:
    """A run on its way, and the file that its output goes to."""
    out.mkdir(exist_ok=True)
    output = out / "output"
    environment = {**os.environ, **SIZES, "WORLD": str(world), "OUT": str(out)}
    environment |= {"VERL_USE_EXTERNAL_MODULES": "tests.e2e.phases", "HIT": hit, "TRAINED": str(out / "trained.jsonl")}
    argv = ["bash", str(SCRIPT), *OVERRIDES, *rollout_record(rollouts)]
    with output.open("w") as file:
        run = subprocess.Popen(argv, env=environment, stdout=file, stderr=file, preexec_fn=hear_ctrl_c)
    return run, output


def end(out: Path, run: subprocess.Popen, output: Path, processes: list[psutil.Process]) -> Attempt:
    status = run.wait()
    checkpoints = out / "checkpoints"
    tracker, saved = checkpoints / TRACKER, sorted(path.name for path in checkpoints.glob("global_step_*"))
    last = int(tracker.read_text()) if tracker.exists() else 0
    left = [one for one in processes if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
    return Attempt(status, output.read_text(errors="replace"), last, saved, len(processes), left)


def processes_of(run: subprocess.Popen, output: Path) -> list[psutil.Process]:
    """All that the run has started: its descendants, and actors, which warm starts make somebody else's children.

    The warm interpreter is the session's own.
    """
    spared = {pid for pid, _ in warm.running(Path(os.environ["VERL_DF_WARM_DIR"]))}
    found = [one for one in psutil.Process(run.pid).children(recursive=True) if one.pid not in spared]
    return found + [psutil.Process(int(pid)) for pid in set(ACTOR.findall(output.read_text(errors="replace")))]


def stop(world: Path, out: Path, rollouts: Path) -> Attempt:
    """A run that gets Ctrl-C in the step STOPPED, before its update."""
    run, output = start(world, out, rollouts, hit=f"stop:{STOPPED}")
    while STOP_READY not in output.read_text(errors="replace"):
        assert run.poll() is None, output.read_text(errors="replace")[-6000:]
        time.sleep(0.02)
    processes = processes_of(run, output)
    run.send_signal(signal.SIGINT)
    return end(out, run, output, processes)


@pytest.fixture(scope="module")
def rollouts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rollouts")


@pytest.fixture(scope="module")
def interrupted(world: Path, rollouts: Path, tmp_path_factory: pytest.TempPathFactory) -> Interrupted:
    out = tmp_path_factory.mktemp("interrupted")
    stopped = stop(world, out, rollouts)
    logged = lines(out / "metrics.jsonl")
    killed = {}
    for phase in HITS:
        run, output = start(world, out, rollouts, hit=f"{phase}:{KILLED}")
        killed[phase] = end(out, run, output, [])
    run, output = start(world, out, rollouts)
    return Interrupted(out, stopped, logged, killed, end(out, run, output, []))


@pytest.fixture(scope="module")
def whole(world: Path, rollouts: Path, interrupted: Interrupted, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the run that nobody interrupts."""
    out = tmp_path_factory.mktemp("whole")
    attempt = end(out, *start(world, out, rollouts), [])
    assert attempt.status == 0, attempt.said[-6000:]
    return out


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_ctrl_c_ends_a_run_after_its_step_with_a_checkpoint(interrupted: Interrupted) -> None:
    stopped = interrupted.stopped
    assert stopped.status == 128 + signal.SIGINT, stopped.said[-6000:]
    assert stopped.last == STOPPED and stopped.saved == [f"global_step_{STOPPED}"]
    assert [line["step"] for line in interrupted.logged] == list(range(1, STOPPED + 1))
    assert "Ctrl-C: will stop after this step with a checkpoint; press Ctrl-C again to end now\n" in stopped.said
    assert f"the run stops after step {STOPPED}, with a checkpoint" in stopped.said
    assert "stopped by Ctrl-C, in good order" in stopped.said and "Traceback" not in stopped.said
    assert stopped.watched > 5 and stopped.left == []


def test_each_phase_was_hit(interrupted: Interrupted) -> None:
    hits = [(line["step"], line["hit"]) for line in lines(interrupted.out / "trained.jsonl") if "hit" in line]
    assert hits == [(KILLED, phase) for phase in HITS]


@pytest.mark.parametrize("phase", PHASES)
def test_a_killed_trainer_ends_the_run_and_leaves_its_last_checkpoint(interrupted: Interrupted, phase: str) -> None:
    killed = interrupted.killed[phase]
    assert killed.status not in (0, None)
    assert "a Ray worker died (TaskRunnerV1)" in killed.said, killed.said[-6000:]
    assert f"going on after step {STOPPED} of {STEPS}" in killed.said
    assert killed.last == STOPPED


@pytest.mark.parametrize(("worker", "named"), zip(WORKERS, ("AgentLoopWorkerTQ", "RewardLoopWorker"), strict=True))
def test_a_killed_worker_ends_the_run(interrupted: Interrupted, worker: str, named: str) -> None:
    """verl alone waits for the prompts of an agent loop's worker for good."""
    killed = interrupted.killed[worker]
    assert killed.status not in (0, None, 124), killed.said[-6000:]
    assert "a Ray worker died" in killed.said and named in killed.said
    assert killed.last == STOPPED


def test_the_run_comes_to_its_end(interrupted: Interrupted) -> None:
    finished = interrupted.finished
    assert finished.status == 0 and finished.last == STEPS, finished.said[-6000:]
    assert f"going on after step {STOPPED} of {STEPS}" in finished.said
    logged = lines(interrupted.out / "metrics.jsonl")
    assert [line["step"] for line in logged] == list(range(1, STEPS + 1))
    assert logged[:STOPPED] == interrupted.logged


def test_it_has_trained_on_the_same_rows_in_the_same_order(interrupted: Interrupted, whole: Path) -> None:
    """The prompts of the data loader, and the rows that go into the update with their advantages, at every attempt."""
    ours, theirs = lines(interrupted.out / "trained.jsonl"), lines(whole / "trained.jsonl")
    for kind in ("prompts", "rows"):
        expected = {line["step"]: line[kind] for line in theirs if kind in line}
        assert sorted(expected) == list(range(1, STEPS + 1))
        assert len({str(one) for one in expected.values()}) == STEPS
        found = [line for line in ours if kind in line]
        assert {line["step"] for line in found} == set(expected)
        assert [line[kind] for line in found] == [expected[line["step"]] for line in found]
    # killed in generation and repair, it had not come to the update
    assert [line["step"] for line in ours if "rows" in line] == [STOPPED, KILLED, KILLED, *range(KILLED, STEPS + 1)]


def test_the_repair_engine_gets_the_same_prompts_with_the_same_seeds(interrupted: Interrupted, whole: Path) -> None:
    """References are drawn, and so are seeds, from what depends on neither the start nor the time."""
    ours, theirs = (
        {tuple(line["repair"]) for line in lines(out / "trained.jsonl") if "repair" in line}
        for out in (interrupted.out, whole)
    )
    assert ours == theirs and len({seed for _, seed in theirs}) > 10


def test_pairs_are_those_of_the_uninterrupted_run(interrupted: Interrupted, whole: Path) -> None:
    ours, theirs = (
        [{name: value for name, value in pair.items() if name not in BY_CHANCE} for pair in lines(out / "pairs.jsonl")]
        for out in (interrupted.out, whole)
    )
    assert ours == theirs and len(ours) > 0


@pytest.mark.parametrize("part", ["model", "optim"])
def test_weights_and_optimiser_are_equal(interrupted: Interrupted, whole: Path, part: str) -> None:
    ours, theirs = (
        torch.load(out / f"checkpoints/global_step_{STEPS}/actor/{part}_world_size_1_rank_0.pt", weights_only=False)
        for out in (interrupted.out, whole)
    )
    left, right = (dict(tensors(one)) for one in (ours, theirs))
    assert left.keys() == right.keys() and len(left) > 10
    assert all(torch.equal(left[name], right[name]) for name in left)


def tensors(tree: Any, path: str = "") -> list[tuple[str, torch.Tensor]]:
    """All tensors of nested dicts and lists, by path."""
    if isinstance(tree, torch.Tensor):
        return [(path, tree.full_tensor() if hasattr(tree, "full_tensor") else tree)]
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list | tuple) else ()
    return [found for key, value in items for found in tensors(value, f"{path}/{key}")]
