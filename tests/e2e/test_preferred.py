# SPDX-License-Identifier: Apache-2.0
"""Two steps of DF-GRPO with preferred responses as references, on the rollouts that the main job recorded."""

from pathlib import Path

import pandas as pd
import pytest

from tests.e2e.conftest import SIZES, Run, rollout_record, start_run

STEPS = 2


@pytest.fixture(scope="module")
def run(world: Path, recorded: tuple[Run, Path], tmp_path_factory: pytest.TempPathFactory) -> Run:
    settings = (
        "df.group.reference=preferred",
        "df.log.pairs_per_step=-1",
        "trainer.val_before_train=False",
        "trainer.test_freq=-1",
        *rollout_record(recorded[1]),
    )
    return start_run(world, tmp_path_factory.mktemp("preferred"), *settings, **(SIZES | {"STEPS": str(STEPS)}))


def test_every_prompt_with_an_error_is_repaired_after_its_preferred_response(
    world: Path, recorded: tuple[Run, Path], run: Run
) -> None:
    rows = pd.read_parquet(world / "data/train.parquet")
    preferred = {(info["question"], info["preferred_response"]) for info in rows["extra_info"]}
    assert {pair["reference_kind"] for pair in run.pairs} == {"preferred"}
    assert {(pair["prompt"].removeprefix("<image>"), pair["reference"]) for pair in run.pairs} <= preferred
    for step in range(1, STEPS + 1):
        here, there = run.metrics[step], recorded[0].metrics[step]
        assert here["df/reference/preferred"] > 0 == here["df/reference/sibling"] == here["df/skipped/no_correct"]
        assert here["df/asked"] == here["df/erroneous"]
        if step == 1:  # the same policy, and the very rollouts
            assert here["df/erroneous"] == there["df/erroneous"]
            assert here["df/asked"] >= there["df/asked"]
            assert here["df/reference/preferred"] == there["df/reference/sibling"] + there["df/skipped/no_correct"]


@pytest.mark.parametrize("step", range(1, STEPS + 1))
def test_it_trains(run: Run, step: int) -> None:
    values = run.metrics[step]
    assert values["df/skipped_steps"] == 0 < values["df/rows/repair"] <= values["df/rows/error"]
    assert values["actor/grad_norm"] > 0 and values["df/repaired/ratio"] == pytest.approx(1.0, abs=1e-4)
