# SPDX-License-Identifier: Apache-2.0
"""With a gate of one and no group rebuild, DF is verl: the same losses and gradients, bit for bit.

vLLM batches requests as they come in, so two runs from one seed do not sample the same rollouts. Both runs here are
given the same ones, those that the main job recorded (`skip.rollout_tq` of verl). From there on every number is
computed by torch on the same rows in the same order, and equality is exact.
"""

from pathlib import Path

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


def test_df_off_equals_stock_verl_bit_for_bit(world: Path, recorded: tuple[Run, Path], tmp_path: Path) -> None:
    shared = (
        *rollout_record(recorded[1]),
        "trainer.val_before_train=False",
        "trainer.test_freq=-1",
        "trainer.save_freq=-1",
        # two optimiser steps per batch: the second has ratios other than one
        "actor_rollout_ref.actor.ppo_mini_batch_size=4",
    )
    stock = start_run(world, tmp_path / "stock", *shared, ALGO="grpo", **SIZES)
    ours = start_run(world, tmp_path / "df_off", *shared, "df.group.mode=off", ALGO="df_grpo", **SIZES)
    for step in range(1, STEPS + 1):
        for name in COMPARED:
            assert ours.metrics[step][name] == stock.metrics[step][name], f"step {step}, {name}"
        assert stock.metrics[step]["actor/grad_norm"] > 0
        assert stock.metrics[step]["actor/ppo_kl"] != 0
