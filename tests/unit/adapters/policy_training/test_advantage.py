# SPDX-License-Identifier: Apache-2.0
"""The gated estimators through verl's own functions, and where there is no gate or no critic."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tensordict import TensorDict
from verl import DataProto
from verl.trainer.config import AlgoConfig
from verl.trainer.ppo.ray_trainer import compute_advantage
from verl.trainer.ppo.v1.utils import compute_advantage_for_multi_trajectories

from verl_df.adapters.policy_training import advantage  # noqa: F401  registers the estimators
from verl_df.adapters.policy_training.row_fields import RowFields, current_row_fields, use_row_fields
from verl_df.settings.objectives import ESTIMATORS

REWARDS = st.sampled_from([0.0, 1.0, 0.25, -0.5])


@st.composite
def batches(draw: st.DrawFn) -> tuple[DataProto, list[str]]:
    """Groups of 1 to 5 rows of 1 to 6 tokens, some not the policy's, and verl's padding rows; with their keys."""
    rows = []
    for group in range(draw(st.integers(1, 4))):
        for session in range(draw(st.integers(1, 5))):
            mask = [1] + draw(st.lists(st.integers(0, 1), max_size=5))
            rows.append((f"g{group}", f"g{group}_{session}_0", mask, draw(REWARDS)))
    padding = [("pad", f"pad_{session}_0", [0], 0.0) for session in range(draw(st.integers(0, 3)))]
    rows = draw(st.permutations(rows + padding))
    length = max(len(mask) for _, _, mask, _ in rows)
    mask = torch.zeros(len(rows), length, dtype=torch.int64)
    rewards = torch.zeros(len(rows), length)
    for row, (_, _, tokens, reward) in enumerate(rows):
        mask[row, : len(tokens)] = torch.tensor(tokens)
        rewards[row, len(tokens) - 1] = reward
    uids = np.array([uid for uid, *_ in rows], dtype=object)
    tensors = TensorDict({"response_mask": mask, "token_level_rewards": rewards}, batch_size=len(rows))
    return DataProto(batch=tensors, non_tensor_batch={"uid": uids}), [key for _, key, *_ in rows]


def copy(data: DataProto) -> DataProto:
    return DataProto(batch=data.batch.clone(), non_tensor_batch=dict(data.non_tensor_batch))


def estimate(data: DataProto, keys: list[str], name: str, by_std: bool) -> DataProto:
    """As the V1 trainer calls it."""
    config = AlgoConfig(adv_estimator=name, norm_adv_by_std_in_grpo=by_std)
    return compute_advantage_for_multi_trajectories(
        copy(data), keys, name, num_repeat=4, norm_adv_by_std_in_grpo=by_std, config=config
    )


def fields(gate: torch.Tensor) -> RowFields:
    return RowFields(gate=gate, is_repair=torch.zeros_like(gate, dtype=torch.int64))


@settings(max_examples=60)
@given(batches(), st.booleans())
def test_a_gate_of_ones_is_verls_grpo_bit_for_bit(batch: tuple[DataProto, list[str]], by_std: bool) -> None:
    data, keys = batch
    base = estimate(data, keys, "grpo", by_std)
    with use_row_fields(fields(torch.ones(data.batch["response_mask"].shape))):
        ours = estimate(data, keys, "df_grpo", by_std)
        direct = compute_advantage(copy(data), "df_grpo", config=AlgoConfig(norm_adv_by_std_in_grpo=by_std))
    for name in ("advantages", "returns"):
        assert torch.equal(ours.batch[name], base.batch[name])
        assert ours.batch[name].dtype == base.batch[name].dtype
        assert torch.equal(direct.batch[name], base.batch[name])


def pair() -> DataProto:
    """A wrong rollout and its repair, of lengths 3 and 2."""
    mask = torch.tensor([[1, 1, 1], [1, 1, 0]])
    rewards = torch.tensor([[0.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    tensors = TensorDict({"response_mask": mask, "token_level_rewards": rewards}, batch_size=2)
    return DataProto(batch=tensors, non_tensor_batch={"uid": np.array(["u", "u"], dtype=object)})


def test_a_pair_by_hand() -> None:
    gate = torch.tensor([[0.0, 1.0, 0.5], [1.0, 0.0, 0.0]])
    with use_row_fields(fields(gate)):
        advantages = estimate(pair(), ["u_0_0", "u_1000000_0"], "df_grpo", False).batch["advantages"]
    assert advantages.tolist() == [[0.0, -0.5, -0.25], [0.5, 0.0, 0.0]]  # mean reward 0.5 (Eq. 21)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_outside_a_df_trainer_there_is_no_gate(estimator: str) -> None:
    with pytest.raises(RuntimeError, match=f"'{estimator}' was called outside a DF trainer.*trainer_mode=df_sync"):
        estimate(pair(), ["u_0_0", "u_1_0"], estimator, True)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_gate_of_another_shape_is_refused(estimator: str) -> None:
    with use_row_fields(fields(torch.ones(2, 4))):
        with pytest.raises(RuntimeError, match=rf"'{estimator}': gate of shape \(2, 4\) for a batch of shape \(2, 3\)"):
            estimate(pair(), ["u_0_0", "u_1_0"], estimator, True)


def test_ppo_without_a_critic_says_what_to_set() -> None:
    with use_row_fields(fields(torch.ones(2, 3))):
        with pytest.raises(RuntimeError, match="'df_gae' needs a critic: set critic.enable=True"):
            estimate(pair(), ["u_0_0", "u_1_0"], "df_gae", True)


def test_ppo_takes_discount_and_lambda_from_verls_algorithm_block() -> None:
    """One reward at the end and values of zero: the return is (γλ)^(T-t)."""
    returns = []
    for gamma, lam in ((0.5, 1.0), (1.0, 0.5), (0.25, 1.0)):
        config = AlgoConfig(adv_estimator="df_gae", gamma=gamma, lam=lam)
        columns = RowFields(torch.ones(2, 3), torch.zeros(2, 3, dtype=torch.int64), values=torch.zeros(2, 3))
        with use_row_fields(columns):
            # verl also passes both as arguments, which reach its own `gae` only
            data = compute_advantage(pair(), "df_gae", gamma=0.0, lam=0.0, config=config)
        returns.append(data.batch["returns"].tolist())
    rewarded = [[0.5, 1.0, 0.0], [0.5, 1.0, 0.0], [0.25, 1.0, 0.0]]
    assert returns == [[[0.0, 0.0, 0.0], row] for row in rewarded]


def test_fields_are_gone_after_the_block_even_after_an_error() -> None:
    outer, inner = fields(torch.ones(1, 1)), fields(torch.zeros(1, 1))
    with use_row_fields(outer):
        with pytest.raises(KeyError), use_row_fields(inner):
            raise KeyError
        assert current_row_fields("test", torch.Size([1, 1])) is outer
    with pytest.raises(RuntimeError, match="outside a DF trainer"):
        current_row_fields("test", torch.Size([1, 1]))
