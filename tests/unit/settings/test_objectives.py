# SPDX-License-Identifier: Apache-2.0
"""The table of objectives against verl's registries and against the functions it names."""

import re

import pytest
from verl.trainer.ppo.core_algos import get_adv_estimator_fn, get_policy_loss_fn

from verl_df.adapters.policy_training import advantage, loss
from verl_df.method.gates import TOKEN_MEANS
from verl_df.settings.config import CHOICES
from verl_df.settings.objectives import ESTIMATORS, LOSSES, OBJECTIVES, markdown_table


@pytest.mark.parametrize("name", OBJECTIVES)
def test_an_objective_is_made_of_what_is_registered(name: str) -> None:
    objective = OBJECTIVES[name]
    assert objective.name == name
    assert objective.mode in ESTIMATORS[objective.estimator]
    assert get_adv_estimator_fn(objective.estimator) is not get_adv_estimator_fn(objective.base_estimator)
    assert get_policy_loss_fn(objective.loss) is not get_policy_loss_fn(objective.base_loss)
    assert objective.estimator == f"df_{objective.base_estimator}" and objective.loss == f"df_{objective.base_loss}"
    assert objective.ratio == ("sequence" if objective.loss == "df_gspo" else "token")
    assert objective.aggregation in TOKEN_MEANS


def test_each_estimator_and_loss_serves_an_objective() -> None:
    assert {one.estimator for one in OBJECTIVES.values()} == set(ESTIMATORS)
    assert {one.loss for one in OBJECTIVES.values()} == set(LOSSES)
    assert {mode for modes in ESTIMATORS.values() for mode in modes} == set(CHOICES["df.group.mode"])


def test_repairs_are_trained_on_where_the_paper_does_so_and_every_estimator_can_be_switched_off() -> None:
    assert {name for name, one in OBJECTIVES.items() if one.mode == "repair_pairs"} == {"df_grpo", "df_gspo", "df_dapo"}
    assert [name for name, modes in ESTIMATORS.items() if "repair_pairs" in modes] == ["df_grpo"]
    assert all({"gate_only", "off"} <= set(modes) for modes in ESTIMATORS.values())


def test_the_printed_table_has_a_row_per_objective_and_names_the_functions() -> None:
    head, rule, *rows = [line.strip("| ").split(" | ") for line in markdown_table().splitlines()]
    assert {len(cells) for cells in (head, rule, *rows)} == {9}
    assert [cells[0].strip("`") for cells in rows] == list(OBJECTIVES)
    for cells, objective in zip(rows, OBJECTIVES.values(), strict=True):
        estimator, loss_function = re.findall(r"\(`(\w+)`\)", cells[-1])
        assert getattr(advantage, estimator) is get_adv_estimator_fn(objective.estimator)
        assert getattr(loss, loss_function) is get_policy_loss_fn(objective.loss)
