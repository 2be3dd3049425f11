# SPDX-License-Identifier: Apache-2.0
"""What the gate leaves alone: all of the base when it is one, and all but the policy gradient when it is zero.

In float32, as in training, and bit for bit: the comparisons are with verl's own estimators and losses.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from verl.trainer.config import AlgoConfig
from verl.trainer.ppo.core_algos import agg_loss, get_adv_estimator_fn, kl_penalty
from verl.utils.metric import Metric
from verl.workers.utils.losses import ppo_loss
from verl.workers.utils.padding import no_padding_2_padding

from tests.unit.adapters.objectives_support import (
    AGGREGATIONS,
    ALL,
    GAMMA,
    KL_COEF,
    LAM,
    OBJECTIVES,
    Case,
    cases,
    estimate,
    loss_config,
    make_case,
    micro_batch,
)
from tests.unit.adapters.support import CONFIG_FOLDER, composed
from verl_df.adapters.policy_training.loss import df_ppo_loss
from verl_df.adapters.policy_training.row_fields import RowFields, use_row_fields
from verl_df.settings.checks import check_choices
from verl_df.settings.config import load_df_config
from verl_df.settings.objectives import ESTIMATORS, FIXED_AGGREGATION, Objective, gated, load_objectives

KL = {"use_kl_loss": True, "kl_loss_coef": KL_COEF, "kl_loss_type": "low_var_kl"}
ENTROPY = {"entropy_coeff": 0.01}
float32_cases = cases(dtype=torch.float32)


def gradients(case: Case, loss: torch.Tensor) -> list[torch.Tensor]:
    parameters = list(case.policy.parameters())
    return list(torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True))


def assert_bitwise(ours: list[torch.Tensor], base: list[torch.Tensor]) -> None:
    for one, other in zip(ours, base, strict=True):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)


def plain(metric: object) -> object:
    return (metric.values, metric.aggregation) if isinstance(metric, Metric) else metric


# ---- a gate of ones --------------------------------------------------------------------------------------------------


def check_that_ones_give_back_the_base(
    objective: Objective, case: Case, by_std: bool, aggregation: str, weighted: bool, ranks: int
) -> None:
    """Advantages, returns, loss, gradient and metrics, from the rewards to the worker's loss with KL and entropy."""
    base = estimate(case, objective.base_estimator, by_std=by_std)
    ours = estimate(case, objective.estimator, torch.ones(case.mask.shape), by_std)
    assert_bitwise(list(ours), list(base))
    results = []
    parts = ((ppo_loss, objective.base_loss, base), (df_ppo_loss, objective.loss, ours))
    for loss_fn, loss_name, (advantages, _) in parts:
        data, output = micro_batch(case, advantages, weighted, ranks)
        config = loss_config(objective, loss_name, loss_agg_mode=aggregation, **KL, **ENTROPY)
        loss, metrics = loss_fn(config, output, data)
        results.append(([loss.detach(), *gradients(case, loss)], metrics))
    (base_numbers, base_metrics), (numbers, metrics) = results
    assert_bitwise(numbers, base_numbers)
    assert {name: plain(metrics[name]) for name in base_metrics} == {
        name: plain(metric) for name, metric in base_metrics.items()
    }


@pytest.mark.parametrize("name", ALL)
@settings(deadline=None, max_examples=25)
@given(
    case=float32_cases,
    by_std=st.booleans(),
    aggregation=st.sampled_from(AGGREGATIONS),
    weighted=st.booleans(),
    ranks=st.integers(1, 2),
)
def test_a_gate_of_ones_gives_back_the_base(name: str, case: Case, **drawn: Any) -> None:
    check_that_ones_give_back_the_base(ALL[name], case, **drawn)


# ---- a gate of zeros -------------------------------------------------------------------------------------------------


def other_terms(objective: Objective, case: Case) -> torch.Tensor:
    """β·KL - η·entropy of the batch, from verl's functions alone."""
    data, output = micro_batch(case, torch.zeros(case.mask.shape))
    log_prob, entropy = (no_padding_2_padding(output[name], data) for name in ("log_probs", "entropy"))
    reference = case.padded(case.ref_log_prob)
    size = {"batch_num_tokens": data["batch_num_tokens"], "global_batch_size": data["global_batch_size"]}
    kl, mean_entropy = (
        agg_loss(loss_mat=values, loss_mask=case.mask.bool(), loss_agg_mode=objective.aggregation, **size)
        for values in (kl_penalty(log_prob, reference, KL["kl_loss_type"]), entropy)
    )
    return kl * KL_COEF - ENTROPY["entropy_coeff"] * mean_entropy


def check_that_zeros_leave_kl_and_entropy(objective: Objective, case: Case) -> None:
    """The gradient of KL and entropy and nothing else."""
    advantages, _ = estimate(case, objective.estimator, torch.zeros(case.mask.shape))
    assert not advantages.any()
    data, output = micro_batch(case, advantages)
    loss, _ = df_ppo_loss(loss_config(objective, objective.loss), {"log_probs": output["log_probs"]}, data)
    assert loss.item() == 0
    assert not any(gradient.any() for gradient in gradients(case, loss))
    data, output = micro_batch(case, advantages)
    loss, _ = df_ppo_loss(loss_config(objective, objective.loss, **KL, **ENTROPY), output, data)
    alone = gradients(case, other_terms(objective, case))
    assert any(gradient.any() for gradient in alone)
    assert_bitwise(gradients(case, loss), alone)


@pytest.mark.parametrize("name", ALL)
@settings(deadline=None, max_examples=15)
@given(case=float32_cases)
def test_a_gate_of_zeros_leaves_the_gradient_of_kl_and_entropy_and_nothing_else(name: str, case: Case) -> None:
    check_that_zeros_leave_kl_and_entropy(ALL[name], case)


@pytest.mark.parametrize("name", ALL)
def test_a_gated_token_gets_no_gradient_and_changes_no_other_tokens(name: str) -> None:
    """Closing the gate of one token takes its own gradient away and leaves the others' as they are."""
    objective = ALL[name]
    case = make_case([4, 4], seed=5, gates="one", dtype=torch.float32)
    row = max(range(len(case.rows)), key=lambda one: sum(case.rows[one].own))
    token = case.rows[row].own.index(1)
    closed = case.gate.clone()
    closed[row, token] = 0
    per_token = []
    for gate in (case.gate, closed):
        advantages, _ = estimate(case, objective.estimator, gate)
        data, output = micro_batch(case, advantages)
        values = output["log_probs"].values().detach().requires_grad_()
        nested = torch.nested.nested_tensor_from_jagged(values, output["log_probs"].offsets())
        unclipped = {"clip_ratio_low": 0.99, "clip_ratio_high": 50.0, "clip_ratio_c": 100.0}
        loss, _ = df_ppo_loss(loss_config(objective, objective.loss, **unclipped), {"log_probs": nested}, data)
        loss.backward()
        per_token.append(no_padding_2_padding(values.grad, data))
    everywhere, without = per_token
    assert everywhere[row, token] != 0 and without[row, token] == 0
    everywhere[row, token] = 0
    assert torch.equal(everywhere, without)


# ---- any gate --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("base", ESTIMATORS)
@settings(deadline=None, max_examples=25)
@given(case=float32_cases)
def test_the_gate_multiplies_the_bases_advantages_and_leaves_returns_alone(base: str, case: Case) -> None:
    base_advantages, base_returns = estimate(case, base)
    advantages, returns = estimate(case, gated(base))
    assert_bitwise([advantages, returns], [base_advantages * case.gate, base_returns])


@pytest.mark.parametrize("base", ESTIMATORS)
@settings(deadline=None, max_examples=15)
@given(case=float32_cases)
def test_no_argument_is_changed_in_place(base: str, case: Case) -> None:
    rewards, mask = case.padded([row.rewards for row in case.rows]), case.mask
    fields = RowFields(case.is_repair, case.gate, values=case.values)
    given_tensors = [rewards, mask, fields.gate, fields.is_repair, fields.values]
    before = [one.clone() for one in given_tensors]
    uids = np.array([row.uid for row in case.rows], dtype=object)
    config = AlgoConfig(adv_estimator=gated(base), gamma=GAMMA, lam=LAM)
    with use_row_fields(fields):
        advantages, returns = get_adv_estimator_fn(gated(base))(
            token_level_rewards=rewards, response_mask=mask, index=uids, config=config
        )
    assert_bitwise(given_tensors, before)
    kept = returns.clone()
    advantages.zero_()
    assert torch.equal(returns, kept)  # two tensors, not one twice


# ---- a new objective is one file -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("estimator", "loss"), [("opo", "vanilla"), ("rloo_vectorized", "vanilla"), ("grpo", "cispo"), ("gpg", "sapo")]
)
def test_an_objective_on_another_base_is_one_file(estimator: str, loss: str, tmp_path: Path) -> None:
    """It composes, the checks accept it, and what holds for the recipe's holds for it."""
    assert not [one for one in OBJECTIVES.values() if (one.base_estimator, one.base_loss) == (estimator, loss)]
    (tmp_path / "objective").mkdir()
    text = (CONFIG_FOLDER / "objective/rloo_gate_only.yaml").read_text()
    text = text.replace("df_rloo", gated(estimator)).replace("df_vanilla", gated(loss))
    text = text.replace("token-mean", FIXED_AGGREGATION.get(loss, "token-mean"))
    (tmp_path / "objective/mine.yaml").write_text(text)
    (objective,) = load_objectives(tmp_path / "objective").values()
    assert (objective.name, objective.base_estimator, objective.base_loss) == ("mine", estimator, loss)

    search = f"hydra.searchpath=[pkg://verl.trainer.config,file://{tmp_path}]"
    config = composed("objective=mine", search, "actor_rollout_ref.rollout.n=4")
    assert OmegaConf.select(config, "algorithm.adv_estimator") == objective.estimator
    check_choices(config, load_df_config(config.df))

    for seed in range(3):
        case = make_case([4, 1, 2], seed, gates="soft", empty_rows=1, dtype=torch.float32)
        check_that_ones_give_back_the_base(objective, case, True, objective.aggregation, weighted=False, ranks=1)
        check_that_zeros_leave_kl_and_entropy(objective, case)
