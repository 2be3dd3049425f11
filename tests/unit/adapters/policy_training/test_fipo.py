# SPDX-License-Identifier: Apache-2.0
"""FIPO's factors against a plain loop, its neutral setting, and where it is refused."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from verl.utils import tensordict_utils as tu
from verl.workers.config import PolicyLossConfig

from tests.unit.adapters.objectives_support import actor_config, make_case, micro_batch
from verl_df.adapters.policy_training.blind_pass import BLIND_LOG_PROBS
from verl_df.adapters.policy_training.fipo import fipo_factors
from verl_df.adapters.policy_training.loss import LOSS, df_ppo_loss
from verl_df.settings.config import ConfigError, load_df_config
from verl_df.settings.control_checks import check_loss, check_weight
from verl_df.settings.loss_config import LossConfig, LossKind
from verl_df.settings.objectives import LOSSES, gated


def by_hand(log_ratio: list[float], advantages: list[float], mask: list[bool], config: LossConfig) -> list[float]:
    gamma, factors = 2 ** (-1 / config.half_life), []
    for at in range(len(mask)):
        rest = [
            gamma ** (k - at) * max(log_ratio[k], -20.0)
            for k in range(at, len(mask))
            if mask[k] and log_ratio[k] <= math.log(10)
        ]
        factor = min(max(math.exp(min(sum(rest), 50)), config.low), config.high)
        unsafe = advantages[at] < 0 and log_ratio[at] > math.log(10)
        factors.append(min(max(factor, 0.8), 1.0) if unsafe else factor)
    return factors


@given(st.integers(0, 2**31), st.integers(1, 20), st.sampled_from([0.5, 4.0, 32.0]), st.floats(0, 1), st.floats(1, 2))
def test_factors_follow_the_formula(seed: int, length: int, half_life: float, low: float, high: float) -> None:
    random = torch.Generator().manual_seed(seed)
    log_ratio = 2 * torch.randn(3, length, generator=random, dtype=torch.float64)
    advantages = torch.randn(3, length, generator=random)
    mask = torch.rand(3, length, generator=random) < 0.8
    config = LossConfig("fipo", low, high, half_life)
    factors = fipo_factors(log_ratio, advantages, mask, config)
    for row in range(3):
        lines = (log_ratio[row].tolist(), advantages[row].tolist(), mask[row].tolist())
        assert factors[row].tolist() == pytest.approx(by_hand(*lines, config), rel=1e-9)


@pytest.mark.parametrize("base", LOSSES)
@pytest.mark.parametrize("setting", [LossConfig("fipo", 1.0, 1.0), LossConfig("fipo"), LossConfig()])
def test_neutral_is_the_base_to_the_bit_and_the_published_one_is_not(base: str, setting: LossConfig) -> None:
    case = make_case([2, 2], 3, gates="one", dtype=torch.float32)
    advantages = torch.linspace(-1, 1, case.mask.numel()).reshape(case.mask.shape)
    config = actor_config(policy_loss=PolicyLossConfig(loss_mode=gated(base)))

    def loss(asked: LossConfig | None) -> tuple[float, dict]:
        data, output = micro_batch(case, advantages)
        if asked is not None:
            tu.assign_non_tensor(data, **{LOSS: asked})
        value, metrics = df_ppo_loss(config, output, data)
        return value.item(), metrics

    (plain, _), (changed, metrics) = loss(None), loss(setting)
    on = setting.kind is LossKind.FIPO
    assert ("fipo/mean" in metrics) == on
    assert (changed == plain) == (not on or setting.high == 1)


@pytest.mark.parametrize("coefficient", [0.0, 0.02, 1.0])
def test_papo_takes_the_mean_dependence_on_the_picture_from_the_loss(coefficient: float) -> None:
    case = make_case([2, 2], 3, gates="one", dtype=torch.float32)
    config = actor_config(policy_loss=PolicyLossConfig(loss_mode=gated("vanilla")))
    data, output = micro_batch(case, torch.ones(case.mask.shape))
    plain, _ = df_ppo_loss(config, output, data)
    blind = [torch.tensor([one - 0.5 for one in line]) for line in case.old_log_prob]
    data[BLIND_LOG_PROBS] = torch.nested.as_nested_tensor(blind, layout=torch.jagged)
    tu.assign_non_tensor(data, **{LOSS: LossConfig("papo", coefficient=coefficient)})
    changed, metrics = df_ppo_loss(config, output, data)
    terms = []
    for row, now, hidden in zip(case.rows, case.log_prob().tolist(), blind, strict=True):
        for own, one, other in zip(row.own, now, hidden.tolist(), strict=False):
            if own:
                terms.append(math.exp(other - one) - (other - one) - 1)
    mean = sum(terms) / len(terms)
    assert metrics["papo/dependence"].values[0] == pytest.approx(mean, rel=1e-4)
    assert changed.item() == pytest.approx(plain.item() - coefficient * mean, rel=1e-4, abs=1e-6)
    assert coefficient or changed.item() == plain.item()


def test_two_passes_with_other_parts_hidden_are_refused() -> None:
    with pytest.raises(ConfigError, match="df.loss.kind=papo and df.weight.kind=vppo each need a pass"):
        check_loss(load_df_config({"loss": {"kind": "papo"}, "weight": {"kind": "vppo"}}), steps=1)
    papo = load_df_config({"loss": {"kind": "papo"}, "weight": {"kind": "entropy"}})
    check_loss(papo, steps=1)
    with pytest.raises(ConfigError, match="df.loss.kind=papo needs the policy's own"):
        check_weight(load_df_config({"loss": {"kind": "papo"}}), bypass=True)


def test_one_optimiser_step_a_batch_is_refused() -> None:
    fipo = load_df_config({"loss": {"kind": "fipo"}})
    with pytest.raises(ConfigError, match="with one optimiser step a batch it has not"):
        check_loss(fipo, steps=1)
    check_loss(fipo, steps=2)
    check_loss(load_df_config({}), steps=1)
