# SPDX-License-Identifier: Apache-2.0
"""A study of two real runs: killed in the first and started again; the second gets the first one's device time."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import ray
import yaml

from tests.e2e.conftest import ROOT, SCRIPT
from verl_df.lab.study.results import RESULTS, Result
from verl_df.ledger.spent import Spent, read_rows

STEPS, BESIDE = 6, 1.5


@pytest.fixture(scope="module")
def study(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    content = {
        "title": "Equal time",
        "script": str(SCRIPT.relative_to(ROOT)),
        "reference": "df",
        "seeds": [1],
        "env": {"WORLD": str(world), "PROMPTS": "8", "ROLLOUTS": "4", "STEPS": str(STEPS)},
        "overrides": ["trainer.save_freq=1", "trainer.test_freq=100"],
        "arms": {
            "df": {},
            "base": {
                "env": {"STEPS": "1000"},
                "overrides": ["df.group.mode=off"],
                "budget": {"like": "df", "plus": [BESIDE]},
            },
        },
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(content))
    return folder


def start(study: Path, command: str) -> subprocess.Popen:
    order = [sys.executable, "-m", "verl_df", "study", command, str(study / "study.yaml"), "--out", str(study / "out")]
    with (study / f"{command}.log").open("a") as log:
        return subprocess.Popen(order, cwd=ROOT, stdout=log, stderr=log)


def wait_for_a_step(run: Path, process: subprocess.Popen) -> None:
    """Until one is saved and in the ledger: its row comes after its checkpoint, and a kill in between would lose it."""
    needed = [run / "checkpoints/latest_checkpointed_iteration.txt", run / "ledger.jsonl"]
    while not all(path.exists() and path.read_text() for path in needed):
        assert process.poll() is None, (run / "run.log").read_text()[-6000:]
        time.sleep(0.05)


@pytest.fixture(scope="module")
def results(study: Path) -> dict[str, Result]:
    """By arm."""
    first = start(study, "run")
    wait_for_a_step(study / "out/toy/df.1", first)
    os.kill(first.pid, signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL
    status = start(study, "run").wait()
    assert status == 0, (study / "run.log").read_text()[-6000:]
    return {one.arm: one for one in RESULTS.read(study / "out/results.jsonl")}


def test_what_was_killed_goes_on_from_its_checkpoint(study: Path, results: dict[str, Result]) -> None:
    assert re.search(f"going on after step [1-5] of {STEPS}", (study / "run.log").read_text())
    rows = read_rows(study / "out/toy/df.1")
    assert [row.step for row in rows] == list(range(1, STEPS + 1))
    assert results["df"].device_seconds == Spent.of(rows).device_seconds.total
    assert results["df"].steps[-1] == STEPS


def test_a_run_ends_when_it_had_the_other_ones_device_time(study: Path, results: dict[str, Result]) -> None:
    base, rows = results["base"], read_rows(study / "out/toy/base.1")
    assert base.granted == (results["df"].device_seconds, BESIDE)
    assert base.device_seconds == Spent.of(rows).device_seconds.total >= sum(base.granted) - 0.05
    assert Spent.of(rows[:-1]).device_seconds.total < sum(base.granted)
    assert base.steps[-1] == len(rows) and (study / f"out/toy/base.1/checkpoints/global_step_{len(rows)}").is_dir()


def test_the_tables_are_made_again_from_what_is_there(study: Path, results: dict[str, Result]) -> None:
    page = (study / "out/study.md").read_bytes()
    assert start(study, "table").wait() == 0
    assert (study / "out/study.md").read_bytes() == page
    assert b"| df |" in page and f"| {results['base'].steps[-1]} |".encode() in page


# Leaves the same as the real script, and where it was: in a Ray task, with word to start a Ray of its own.
SMALL = """
for last in "$@"; do :; done
mkdir -p "${last#*=}"
echo '{"problem": "p", "acc": 1}' >"${last#*=}/1.jsonl"
echo '{"step": 1, "data": {"timing_s/step": 1}}' >"$OUT/metrics.jsonl"
echo "$RAY_ADDRESS $RAY_JOB_ID" >"$OUT/where"
"""


def test_runs_on_a_ray_cluster(tmp_path: Path) -> None:
    (tmp_path / "train.sh").write_text(SMALL)
    content = {"title": "Small", "script": str(tmp_path / "train.sh"), "reference": "a", "seeds": [1, 2]}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(content | {"arms": {"a": {}, "b": {}}}))
    ray.init(num_cpus=2, include_dashboard=False, object_store_memory=80_000_000, log_to_driver=False)
    try:
        address = ray.get_runtime_context().gcs_address
        options = ["--out", str(tmp_path / "out"), "--ray", address, "--cpus", "1"]
        command = [sys.executable, "-m", "verl_df", "study", "run", str(tmp_path / "study.yaml"), *options]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    finally:
        ray.shutdown()
    assert done.returncode == 0, done.stderr[-6000:]
    where = [path.read_text().split() for path in (tmp_path / "out/toy").glob("*/where")]
    assert len(where) == 4 and {(len(one), one[0]) for one in where} == {(2, "local")}
    assert len(list(RESULTS.read(tmp_path / "out/results.jsonl"))) == 4
