# SPDX-License-Identifier: Apache-2.0
"""Controls whose repairs do not come from a repair model, and those that are the trainer's, on the real thing."""

from pathlib import Path

import numpy as np
import pytest

from tests.e2e.conftest import Run, start_run

SIZES = {"STEPS": "2", "PROMPTS": "8", "ROLLOUTS": "8"}
SETTINGS = (
    "trainer.val_before_train=False",
    "trainer.test_freq=-1",
    "df.log.pairs_per_step=-1",
    "df.repair.model_path=null",
)
# One start: two steps with siblings as repairs, then the same under controls that are the trainer's.
SWEEP = ("df_grpo", "df_grpo", "df_grpo@other_row", "df_grpo@imitate_repairs", "df_grpo@imitate_repairs_masked")


@pytest.fixture(scope="module")
def siblings(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    overrides = (
        *SETTINGS,
        "df.control.kind=sibling",
        "df.group.weight=row",
        f"+sweep=[{','.join(SWEEP)}]",
        "data.gen_batch_size=1",
    )
    variables = {**SIZES, "STEPS": str(len(SWEEP)), "MAIN": "tests.e2e.sweep"}
    return start_run(world, tmp_path_factory.mktemp("siblings"), *overrides, **variables)


def test_siblings_are_repairs_without_a_repair_model(siblings: Run) -> None:
    repaired = [pair for pair in siblings.pairs if pair["repair"] and pair["step"] <= 2]
    assert "repair model ready: Nowhere" in siblings.log
    assert repaired and siblings.series("df/repaired") == siblings.series("df/asked")
    check_steps(siblings, 1, 2)


def check_steps(run: Run, *steps: int) -> None:
    for step in steps:
        values = run.metrics[step]
        assert values["df/asked"] > 0 and values["df/repaired"] <= values["df/asked"]
        assert values["df/skipped_steps"] == 0 and values["actor/grad_norm"] > 0
        assert all(pair["repair"]["gate"] for pair in run.pairs if pair["repair"] and pair["step"] == step)


def test_masks_of_other_rows_have_places_of_their_own(siblings: Run) -> None:
    check_steps(siblings, 3)
    pairs = [pair for pair in siblings.pairs if pair["repair"] and pair["step"] == 3]
    moved = [pair["error"]["gate"] != pair["error"]["mask"] for pair in pairs]
    assert len(pairs) > 1 and np.mean(moved) > 0.5
    assert any(any(pair["error"]["gate"]) for pair in pairs)


@pytest.mark.parametrize(("step", "masked"), [(4, False), (5, True)])
def test_repairs_are_imitated_without_reinforcement(siblings: Run, step: int, masked: bool) -> None:
    check_steps(siblings, step)
    values = siblings.metrics[step]
    assert values["df/rows/error"] == 0 < values["df/rows/repair"]
    # −log π of what the policy would not say of itself; an advantage of 1 on each token that is imitated
    assert values["actor/pg_loss"] > 0 and values["critic/advantages/max"] == 1
    assert values["critic/advantages/min"] == (0 if masked else 1)
    assert (values["df/mask_density/repair"] == 1) != masked


def test_the_policy_answers_again_and_what_it_mends_is_rewarded(world: Path, tmp_path: Path) -> None:
    """IBPO on the policy's engine; the toy's policy was never taught to repair, so it answers again (C6a)."""
    more = ("method=ibpo", "df.control.kind=answer_after_reference", "actor_rollout_ref.rollout.max_model_len=1024")
    run: Run = start_run(world, tmp_path, *SETTINGS, *more, **SIZES)
    assert "repair model ready: Policy" in run.log
    for step in (1, 2):
        values = run.metrics[step]
        assert values["df/asked"] > 0 and values["df/repaired"] == values["df/shaped"] <= values["df/asked"]
        assert values["df/skipped_steps"] == 0 and values["actor/grad_norm"] > 0
        rewards = values["df/rows/correct"] + 0.3 * values["df/shaped"]
        assert values["critic/rewards/mean"] == pytest.approx(rewards / values["df/rollouts"], abs=1e-5)
    assert sum(run.series("df/shaped")) > 0
