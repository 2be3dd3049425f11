# SPDX-License-Identifier: Apache-2.0
"""The ratio of repaired rows, from the registered losses to the metrics of a step."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tensordict import TensorDict
from verl.trainer.ppo.core_algos import get_policy_loss_fn
from verl.utils.metric import AggregationType, Metric, reduce_metrics
from verl.utils.py_functional import append_to_dict, rename_dict
from verl.workers.config import PolicyLossConfig

from tests.unit.adapters.objectives_support import actor_config, make_case, micro_batch
from verl_df.adapters.policy_training.loss import RATIO_SUMS, df_ppo_loss
from verl_df.adapters.policy_training.row_fields import IS_REPAIR, LOGGED, RowFields, use_row_fields
from verl_df.adapters.policy_training.row_metrics import ratio_metrics
from verl_df.settings.objectives import LOSSES, gated


def tensors(seed: int, rows: int = 4, length: int = 7) -> dict[str, torch.Tensor]:
    """Random padded tensors; row 0 is whole, the last one is a padding row."""
    random = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, length + 1, (rows,), generator=random)
    mask = torch.arange(length) < lengths.unsqueeze(1)
    mask[0], mask[-1] = True, False
    return {
        "old_log_prob": torch.randn(rows, length, generator=random),
        "log_prob": torch.randn(rows, length, generator=random),
        "advantages": torch.randn(rows, length, generator=random),
        "response_mask": mask,
    }


def fields(given: dict[str, torch.Tensor], repaired: tuple[int, ...] = ()) -> RowFields:
    is_repair = torch.zeros(len(given["response_mask"]), 1, dtype=torch.int64)
    is_repair[list(repaired)] = 1
    return RowFields(is_repair)


def gradient_under(base: str, gate: torch.Tensor) -> torch.Tensor:
    """Of verl's own loss on gated advantages, per token."""
    given_tensors = tensors(0)
    log_prob = given_tensors["log_prob"].clone().requires_grad_()
    advantages = given_tensors["advantages"] * gate
    config = actor_config(policy_loss=PolicyLossConfig(loss_mode=base, dro_beta=0.1))
    loss, _ = get_policy_loss_fn(base)(
        **(given_tensors | {"log_prob": log_prob, "advantages": advantages}), config=config
    )
    loss.backward()
    return log_prob.grad


def test_the_losses_that_are_refused_would_not_leave_a_gated_token_alone() -> None:
    zeros, ones = torch.zeros(4, 7), torch.ones(4, 7)
    assert gradient_under("kl_cov", zeros).any() and gradient_under("dro", zeros).any()
    one_closed = ones.clone()
    one_closed[0, 0] = 0
    others = [gradient_under("geo_mean", gate)[0, 1:] for gate in (ones, one_closed)]
    assert others[0].any() and not torch.equal(*others)


def log_ratios_that_are_clipped(base: str, given_tensors: dict[str, torch.Tensor], row: int) -> list[float]:
    """Of the response tokens of a row: each token's own, or in GSPO their mean for each of them."""
    mask = given_tensors["response_mask"][row].tolist()
    log_ratios = (given_tensors["log_prob"] - given_tensors["old_log_prob"])[row].tolist()
    own = [one for one, trained in zip(log_ratios, mask, strict=True) if trained]
    return [sum(own) / len(own) for _ in own] if base == "gspo" else own


@pytest.mark.parametrize("base", LOSSES)
@settings(max_examples=30)
@given(seed=st.integers(0, 2**31), repaired=st.sets(st.integers(0, 3)))
def test_ratio_sums_against_a_plain_loop(base: str, seed: int, repaired: set[int]) -> None:
    given_tensors, config = tensors(seed), actor_config(clip_ratio=0.2, clip_ratio_low=0.1, clip_ratio_high=0.3)
    given_tensors["response_mask"][0, 2] = False  # a tool's token
    with use_row_fields(fields(given_tensors, tuple(repaired))):
        _, metrics = get_policy_loss_fn(gated(base))(**given_tensors, config=config)
    expected = {f"df/{rows}/{key}": 0.0 for rows in ("repaired", "policy") for key in RATIO_SUMS}
    for row in range(4):
        rows = "repaired" if row in repaired else "policy"
        for log_ratio in log_ratios_that_are_clipped(base, given_tensors, row):
            values = (1.0, np.exp(log_ratio), log_ratio, float(not 0.9 <= np.exp(log_ratio) <= 1.3))
            for key, value in zip(RATIO_SUMS, values, strict=True):
                expected[f"df/{rows}/{key}"] += value
    assert {one: metrics[one] for one in expected} == pytest.approx(expected, rel=1e-4, abs=1e-4)


# ---- the worker's loss_fn --------------------------------------------------------------------------------------------


def test_without_dfs_columns_the_workers_loss_says_which_is_missing() -> None:
    data, output = one_micro_batch(seed=1)
    with pytest.raises(KeyError, match=IS_REPAIR):
        df_ppo_loss(actor_config(), output, data.exclude(IS_REPAIR))


@torch.no_grad
@pytest.mark.parametrize("base", LOSSES)
def test_logged_rows_are_kept_as_the_loss_saw_them(base: str) -> None:
    config = actor_config(policy_loss=PolicyLossConfig(loss_mode=gated(base)), clip_ratio=0.2)
    case = make_case([2, 2], 3, "one", dtype=torch.float32)
    data, output = micro_batch(case, torch.zeros(case.mask.shape))
    numbers = [-1, 7, *([-1] * (len(case.rows) - 3)), 40]
    plain, metrics = df_ppo_loss(config, output, data)
    updates: dict = {}
    data[LOGGED] = torch.nested.as_nested_tensor([torch.tensor([one]) for one in numbers], layout=torch.jagged)
    watched, watched_metrics = df_ppo_loss(config, output, data, updates=updates)
    assert torch.equal(plain, watched) and set(metrics) == set(watched_metrics)
    assert sorted(updates) == [7, 40]
    for number, seen in updates.items():
        row = numbers.index(number)
        own, length = case.rows[row].own, len(case.rows[row].tokens)
        new, old = case.log_prob()[row][:length], torch.tensor(case.old_log_prob[row])
        assert seen["log_prob"][:length] == pytest.approx(new.numpy(), rel=1e-5, abs=1e-6)
        log_ratios = (new - old).double().numpy()[np.array(own, dtype=bool)]
        expected = np.exp(np.full_like(log_ratios, log_ratios.mean()) if base == "gspo" else log_ratios)
        found = seen["ratio"][:length][np.array(own, dtype=bool)]
        assert found == pytest.approx(expected, rel=1e-4)
        assert seen["clipped"][:length][np.array(own, dtype=bool)].tolist() == [
            not 1 - (config.clip_ratio_low or 0.2) <= one <= 1 + (config.clip_ratio_high or 0.2) for one in found
        ]


def one_micro_batch(seed: int) -> tuple[TensorDict, dict[str, torch.Tensor]]:
    case = make_case([2, 2], seed, gates="one", dtype=torch.float32)
    return micro_batch(case, torch.zeros(case.mask.shape))


@torch.no_grad
def test_sums_over_micro_batches_and_ranks_become_means_over_tokens() -> None:
    """As verl's worker and trainer carry them: micro-batches summed, ranks averaged, mini-batches averaged."""
    config = actor_config(policy_loss=PolicyLossConfig(loss_mode="df_vanilla"))
    log_ratios = {"repaired": [], "policy": []}
    worker: dict = {}
    for mini_batch in range(2):
        ranks = []
        for rank in range(2):
            total: dict = {}
            for micro in range(2):
                case = make_case([rank + 1, micro + 1], 4 * mini_batch + 2 * rank + micro, "one", dtype=torch.float32)
                data, output = micro_batch(case, torch.zeros(case.mask.shape))
                _, metrics = df_ppo_loss(config, {"log_probs": output["log_probs"]}, data)
                append_to_dict(total, metrics)
                for row, new, old in zip(case.rows, case.log_prob().tolist(), case.old_log_prob, strict=True):
                    own = [one - before for one, before, mine in zip(new, old, row.own, strict=False) if mine]
                    log_ratios["repaired" if row.is_repair else "policy"] += own
            ranks.append(total)
        for name in ranks[0]:
            append_to_dict(worker, {name: Metric.aggregate_dp([rank[name] for rank in ranks])})
    metrics = reduce_metrics(rename_dict(worker, "actor/"))
    means = ratio_metrics(metrics)
    for name, values in log_ratios.items():
        ratios = np.exp(values)
        assert means[f"df/{name}/ratio"] == pytest.approx(ratios.mean(), rel=1e-4)
        assert means[f"df/{name}/ppo_kl"] == pytest.approx(-np.mean(values), rel=1e-4, abs=1e-5)
        assert means[f"df/{name}/clip_fraction"] == pytest.approx(((ratios < 0.8) | (ratios > 1.3)).mean(), rel=1e-4)
    assert not [name for name in metrics if "df/" in name]  # the sums are no metrics of their own


def test_metrics_of_df_are_sums_and_verls_keep_their_kind() -> None:
    config = actor_config(policy_loss=PolicyLossConfig(loss_mode="df_vanilla"))
    data, output = one_micro_batch(seed=1)
    _, metrics = df_ppo_loss(config, output, data)
    assert {metrics[f"df/repaired/{key}"].aggregation for key in RATIO_SUMS} == {AggregationType.SUM}
    assert metrics["actor/ppo_kl"].aggregation is AggregationType.MEAN
    # verl reduces by names that contain min or max; none of ours may
    assert not [name for name in metrics if name.startswith("df/") and ("min" in name or "max" in name)]
