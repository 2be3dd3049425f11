# SPDX-License-Identifier: Apache-2.0
"""With a gate of one and no group rebuild, DF is verl: the same losses and gradients, bit for bit.

vLLM batches requests as they come in, so two runs from one seed do not sample the same rollouts. Both runs here are
given the same ones, those that the main job recorded (`skip.rollout_tq` of verl). From there on every number is
computed by torch on the same rows in the same order, and equality is exact.

One of them starts cold, the other warm (verl_df/platform/warm): where the imports came from changes nothing either.

Both go on from the main job's first checkpoint: stock verl can take a DF run over, and a run can be resumed.
"""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.e2e.conftest import SIZES, STEPS, Run, rollout_record, start_run

COMPARED = (
    "actor/loss",
    "actor/pg_loss",
    "actor/grad_norm",
    "actor/pg_clipfrac",
    "actor/ppo_kl",
    "actor/entropy",
    "critic/advantages/mean",
    "critic/advantages/max",
)
FIRST = 1  # the checkpoint that both go on from
MINI_BATCHES = 2


@pytest.fixture(scope="module")
def twins(world: Path, recorded: tuple[Run, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Run]:
    """The rest of the main job by stock verl and by DF switched off."""
    shared = (
        *rollout_record(recorded[1]),
        "trainer.val_before_train=False",
        "trainer.test_freq=-1",
        "trainer.resume_mode=resume_path",
        f"trainer.resume_from_path={recorded[0].folder}/checkpoints/global_step_{FIRST}",
        # two optimiser steps per batch: the second has ratios other than one
        f"actor_rollout_ref.actor.ppo_mini_batch_size={int(SIZES['PROMPTS']) // MINI_BATCHES}",
    )
    folder = tmp_path_factory.mktemp("twins")
    stock = start_run(world, folder / "stock", *shared, ALGO="grpo", VERL_DF_WARM="0", **SIZES)
    (folder / "df_off").mkdir()
    shutil.copy(recorded[0].folder / "pairs.jsonl", folder / "df_off")
    return stock, start_run(world, folder / "df_off", *shared, "df.group.mode=off", ALGO="df_grpo", **SIZES)


def test_df_off_equals_stock_verl_bit_for_bit(twins: tuple[Run, Run]) -> None:
    stock, ours = twins
    assert set(stock.metrics) == set(ours.metrics) == set(range(FIRST + 1, STEPS + 1))
    for step in stock.metrics:
        for name in COMPARED:
            assert ours.metrics[step][name] == stock.metrics[step][name], f"step {step}, {name}"
        assert stock.metrics[step]["actor/grad_norm"] > 0
        assert stock.metrics[step]["actor/ppo_kl"] != 0


def loaded(run: Run, step: int, name: str) -> Any:
    return torch.load(run.folder / f"checkpoints/global_step_{step}/{name}", weights_only=False)


def test_a_resumed_run_goes_on_from_its_checkpoint(recorded: tuple[Run, Path], twins: tuple[Run, Run]) -> None:
    """Optimiser, schedule and place in the data come back; the pairs of the steps before it are kept."""
    before, after = recorded[0], twins[1]
    rank = "world_size_1_rank_0.pt"
    updates = [
        next(iter(loaded(run, step, f"actor/optim_{rank}")["state"].values()))["step"]
        for run, step in ((before, FIRST), (after, STEPS))
    ]
    assert updates == [FIRST, FIRST + MINI_BATCHES * (STEPS - FIRST)]
    schedules, places = (
        [loaded(run, STEPS, name)[key] for run in (before, after)]
        for name, key in ((f"actor/extra_state_{rank}", "lr_scheduler"), ("data.pt", "_num_yielded"))
    )
    assert schedules[0]["last_epoch"] == schedules[1]["last_epoch"] == STEPS
    assert places[0] == places[1] == STEPS
    kept = [pair for pair in before.pairs if pair["step"] <= FIRST]
    assert 0 < len(kept) < len(before.pairs) and after.pairs == kept
