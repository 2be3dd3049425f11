# SPDX-License-Identifier: Apache-2.0
"""With a gate of one and no group rebuild, DF is verl: the same losses and gradients, bit for bit.

vLLM batches requests as they come in, so two runs do not sample the same rollouts. The comparison therefore gives both runs
the same ones: the first run dumps what it sampled and the second reads it (`skip.rollout_tq` of verl). From there on every
number is computed by torch in the same order, and equality is exact.
"""

from pathlib import Path

import pytest

from tests.e2e.conftest import start_run

STEPS = 3
# everything that comes out of the update; timings and memory differ, and so do figures that name the machine's state
COMPARED = ("actor/loss", "actor/pg_loss", "actor/grad_norm", "actor/pg_clipfrac", "actor/ppo_kl", "actor/entropy")


@pytest.mark.timeout(1500)
def test_df_off_equals_stock_verl_bit_for_bit(world: Path, tmp_path: Path) -> None:
    shared = (
        "skip.rollout_tq.enable=True",
        f"skip.rollout_tq.dump_dir={tmp_path / 'rollouts'}",
        "skip.rollout_tq.steps=[1,2,3]",
        "trainer.experiment_name=neutral",
        "trainer.val_before_train=False",
        "trainer.test_freq=-1",
        "trainer.save_freq=-1",
        # two optimiser steps per batch: the second has ratios other than one
        "actor_rollout_ref.actor.ppo_mini_batch_size=4",
    )
    sizes = {"STEPS": str(STEPS), "PROMPTS": "8", "ROLLOUTS": "4", "LR": "1e-3"}
    stock = start_run(world, tmp_path / "stock", *shared, ALGO="grpo", **sizes)
    ours = start_run(world, tmp_path / "df_off", *shared, "df.group.mode=off", ALGO="df_grpo", **sizes)
    for step in range(1, STEPS + 1):
        for name in COMPARED:
            assert ours.metrics[step][name] == stock.metrics[step][name], f"step {step}, {name}"
        assert stock.metrics[step]["actor/grad_norm"] > 0
