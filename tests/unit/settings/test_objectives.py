# SPDX-License-Identifier: Apache-2.0
"""What of verl has a gate, and the objectives' files, against verl's registries."""

from pathlib import Path

import pytest
from verl.trainer.ppo.core_algos import ADV_ESTIMATOR_REGISTRY, POLICY_LOSS_REGISTRY

from tests.unit.adapters.objectives_support import OBJECTIVES
from verl_df.adapters.policy_training.advantage import GatedEstimator
from verl_df.adapters.policy_training.loss import WatchedLoss
from verl_df.method.gates import TOKEN_MEANS
from verl_df.method.group import GroupMode
from verl_df.settings.objectives import (
    ESTIMATORS,
    LOSSES,
    UNGATED_ESTIMATORS,
    UNGATED_LOSSES,
    base_of,
    gated,
    load_objectives,
)


@pytest.mark.parametrize(
    ("registry", "ours", "offered", "refused"),
    [
        (ADV_ESTIMATOR_REGISTRY, GatedEstimator, ESTIMATORS, UNGATED_ESTIMATORS),
        (POLICY_LOSS_REGISTRY, WatchedLoss, LOSSES, UNGATED_LOSSES),
    ],
)
def test_each_of_verls_has_a_gate_or_a_reason_why_not(registry: dict, ours: type, offered: dict, refused: dict) -> None:
    verls = {name for name in registry if not name.startswith("df_")}
    assert verls == offered.keys() | refused.keys() and not offered.keys() & refused.keys()
    assert {name: one for name, one in registry.items() if name not in verls} == {gated(b): ours(b) for b in offered}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_an_objective_is_made_of_what_is_registered(name: str) -> None:
    objective = OBJECTIVES[name]
    assert objective.name == name and objective.base_loss in LOSSES
    assert objective.mode in ESTIMATORS[objective.base_estimator]
    assert (base_of(objective.estimator), base_of(objective.loss)) == (objective.base_estimator, objective.base_loss)
    assert objective.ratio == ("sequence" if objective.loss == "df_gspo" else "token")
    assert objective.aggregation in TOKEN_MEANS


def test_repairs_are_trained_on_where_the_paper_does_so_and_every_estimator_can_be_switched_off() -> None:
    assert {mode for modes in ESTIMATORS.values() for mode in modes} == set(GroupMode)
    assert [name for name, modes in ESTIMATORS.items() if "repair_pairs" in modes] == ["grpo"]
    assert all({"gate_only", "off"} <= set(modes) for modes in ESTIMATORS.values())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("algorithm:\n  adv_estimator: df_grpo\n", "begin the comment with the algorithm and its equations"),
        ("# GRPO, gated (Eq. 21).\ndf:\n  group:\n    mode: gate_only\n", "states algorithm.adv_estimator itself"),
    ],
)
def test_a_file_that_lacks_a_part_is_named(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(ValueError, match=f"mine.yaml: .*{message}"):
        load_objectives(tmp_path)
