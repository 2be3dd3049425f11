# SPDX-License-Identifier: Apache-2.0
"""A run whose repair engine is killed in one step and frozen in the next: both are mended, and training goes on."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Run, start_run

KILLED, FROZEN, STEPS = 2, 3, 4
TIMEOUT_S = 8.0  # of a step's repairs, which take a second


@pytest.fixture(scope="module")
def run(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("repair_engine")
    return start_run(
        world,
        folder / "run",
        f"df.repair.timeout_s={TIMEOUT_S}",
        "df.repair.n=1",
        "trainer.val_before_train=False",
        "trainer.test_freq=-1",
        "trainer.save_freq=-1",
        STEPS=str(STEPS),
        PROMPTS="8",
        ROLLOUTS="8",
        VERL_USE_EXTERNAL_MODULES="tests.e2e.phases",
        HIT=f"kill_repair_engine:{KILLED},freeze_repair_engine:{FROZEN}",
        TRAINED=str(folder / "trained.jsonl"),
    )


def hits(run: Run) -> list[tuple[int, Any]]:
    lines = map(json.loads, (run.folder.parent / "trained.jsonl").read_text().splitlines())
    return [(line["step"], line["hit"]) for line in lines if "hit" in line]


def test_a_killed_and_a_frozen_engine_cost_repairs_of_their_step(run: Run) -> None:
    assert hits(run) == [(KILLED, "kill_repair_engine"), (FROZEN, "freeze_repair_engine")]
    for step in (KILLED, FROZEN):
        assert run.metrics[step]["df/rejected/no_answer"] > 0
        assert run.metrics[step]["df/repair/restarts"] == 1
        assert run.metrics[step]["actor/grad_norm"] > 0  # trained on what is left
    assert run.log.count("does not answer and is started anew") == 2


def test_the_other_steps_have_their_repairs(run: Run) -> None:
    for step in sorted({*range(1, STEPS + 1)} - {KILLED, FROZEN}):
        assert run.metrics[step]["df/repaired"] >= 3
        assert run.metrics[step]["df/rejected/no_answer"] == run.metrics[step]["df/repair/restarts"] == 0
