# SPDX-License-Identifier: Apache-2.0
"""Two FSDP workers, each with its own rollout and repair replica, and a batch in which no rollout is right."""

from pathlib import Path

import pandas as pd

from tests.e2e.conftest import start_run

PROMPTS = 8


def test_two_workers_and_a_batch_without_a_correct_rollout(world: Path, tmp_path: Path) -> None:
    rows = pd.read_parquet(world / "data/train.parquet").head(2 * PROMPTS)
    for row in range(PROMPTS):
        rows.at[row, "reward_model"] = {"style": "rule", "ground_truth": "99"}  # nobody says that
    rows.to_parquet(tmp_path / "train.parquet")
    run = start_run(
        world,
        tmp_path / "run",
        f"data.train_files={tmp_path / 'train.parquet'}",
        "data.shuffle=False",
        "trainer.val_before_train=False",
        "trainer.test_freq=-1",
        WORKERS="2",
        STEPS="2",
        PROMPTS=str(PROMPTS),
        ROLLOUTS="8",
    )
    first, second = run.metrics[1], run.metrics[2]
    assert first["df/skipped_steps"] == 1 and first["df/skipped/no_correct"] == PROMPTS
    assert "actor/grad_norm" not in first
    assert second["df/skipped_steps"] == 0 and second["actor/grad_norm"] > 0
    assert second["df/rows/repair"] > 0
    shards = sorted(path.name for path in (run.folder / "checkpoints/global_step_2/actor").glob("model_*"))
    assert shards == ["model_world_size_2_rank_0.pt", "model_world_size_2_rank_1.pt"]
