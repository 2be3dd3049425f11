# SPDX-License-Identifier: Apache-2.0
"""The gated estimators where there is no gate, another one, or no critic."""

import numpy as np
import pytest
import torch
from tensordict import TensorDict
from verl import DataProto
from verl.trainer.config import AlgoConfig
from verl.trainer.ppo.ray_trainer import compute_advantage

from verl_df.adapters.policy_training import advantage  # noqa: F401  registers the estimators
from verl_df.adapters.policy_training.row_fields import RowFields, current_row_fields, use_row_fields
from verl_df.settings.objectives import ESTIMATORS, gated

NAMES = tuple(map(gated, ESTIMATORS))


def fields(gate: torch.Tensor) -> RowFields:
    return RowFields(gate=gate, is_repair=torch.zeros(len(gate), 1, dtype=torch.int64))


def estimate(name: str) -> DataProto:
    """Advantages of a wrong rollout and its repair, of lengths 3 and 2."""
    mask = torch.tensor([[1, 1, 1], [1, 1, 0]])
    rewards = torch.tensor([[0.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    tensors = TensorDict({"response_mask": mask, "token_level_rewards": rewards}, batch_size=2)
    data = DataProto(batch=tensors, non_tensor_batch={"uid": np.array(["u", "u"], dtype=object)})
    return compute_advantage(data, name, config=AlgoConfig(adv_estimator=name))


@pytest.mark.parametrize("estimator", NAMES)
def test_outside_a_df_trainer_there_is_no_gate(estimator: str) -> None:
    with pytest.raises(RuntimeError, match=f"'{estimator}' was called outside a DF trainer.*trainer_mode=df_sync"):
        estimate(estimator)


@pytest.mark.parametrize("estimator", NAMES)
def test_a_gate_of_another_shape_is_refused(estimator: str) -> None:
    with use_row_fields(fields(torch.ones(2, 4))):
        with pytest.raises(
            RuntimeError, match=rf"'{estimator}': DF's columns have shape \(2, 4\), the batch has \(2, 3\)"
        ):
            estimate(estimator)


def test_ppo_without_a_critic_says_what_to_set() -> None:
    with use_row_fields(fields(torch.ones(2, 3))):
        with pytest.raises(RuntimeError, match="'df_gae' needs a critic: set critic.enable=True"):
            estimate("df_gae")


def test_fields_are_gone_after_the_block_even_after_an_error() -> None:
    outer, inner = fields(torch.ones(1, 1)), fields(torch.zeros(1, 1))
    with use_row_fields(outer):
        with pytest.raises(KeyError), use_row_fields(inner):
            raise KeyError
        assert current_row_fields("test", torch.Size([1, 1])) is outer
    with pytest.raises(RuntimeError, match="outside a DF trainer"):
        current_row_fields("test", torch.Size([1, 1]))
