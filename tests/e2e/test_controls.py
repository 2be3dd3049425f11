# SPDX-License-Identifier: Apache-2.0
"""Controls whose repairs do not come from a repair model, for two steps each on the real thing."""

from pathlib import Path

import pytest

from tests.e2e.conftest import Run, start_run

SIZES = {"STEPS": "2", "PROMPTS": "8", "ROLLOUTS": "8"}
SETTINGS = ("trainer.val_before_train=False", "trainer.test_freq=-1", "df.log.pairs_per_step=-1")
NO_MODEL = "df.repair.model_path=null"


@pytest.mark.parametrize(
    ("kind", "place", "more"),
    [
        ("sibling", "Nowhere", ()),
        (
            "answer_after_reference",
            "Policy",
            ("df.repair.placement=policy", "actor_rollout_ref.rollout.max_model_len=1024"),
        ),
    ],
)
def test_without_a_repair_model(world: Path, tmp_path: Path, kind: str, place: str, more: tuple[str, ...]) -> None:
    run: Run = start_run(world, tmp_path, *SETTINGS, NO_MODEL, f"df.control.kind={kind}", *more, **SIZES)
    assert f"repair model ready: {place}" in run.log
    for values in (run.metrics[1], run.metrics[2]):
        assert values["df/asked"] > 0 and values["df/repaired"] <= values["df/asked"]
        assert values["df/skipped_steps"] == 0 and values["actor/grad_norm"] > 0
    repaired = [pair for pair in run.pairs if pair["repair"]]
    assert kind != "sibling" or (repaired and run.series("df/repaired") == run.series("df/asked"))
    assert all(pair["repair"]["gate"] for pair in repaired)
