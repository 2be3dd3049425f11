# SPDX-License-Identifier: Apache-2.0
"""The actor worker: its loss and its mini-batches."""

from types import SimpleNamespace

import pytest
import torch
from tensordict import TensorDict
from verl.utils import tensordict_utils as tu
from verl.workers.config import ActorConfig
from verl.workers.engine_workers import ActorRolloutRefWorker

from tests.unit.adapters.support import composed
from verl_df.adapters.policy_training.loss import df_ppo_loss
from verl_df.adapters.policy_training.worker import MEAN_ROWS, MINI_BATCH_ROWS, DFActorRolloutRefWorker


def worker(role: str) -> DFActorRolloutRefWorker:
    one = DFActorRolloutRefWorker.__new__(DFActorRolloutRefWorker)
    overrides = ("actor_rollout_ref.rollout.name=vllm", "actor_rollout_ref.actor.use_dynamic_bsz=True")
    one.role, one.config = role, composed(*overrides).actor_rollout_ref
    one.losses = []
    one.actor = SimpleNamespace(set_loss_fn=one.losses.append)
    return one


@pytest.mark.parametrize("role", ["actor_rollout", "actor_rollout_ref", "actor"])
def test_the_actor_trains_with_dfs_loss(role: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ActorRolloutRefWorker, "init_model", lambda _: None)
    one = worker(role)
    one.init_model()
    (loss,) = one.losses
    assert loss.func is df_ppo_loss
    assert isinstance(loss.keywords["config"], ActorConfig)
    assert loss.keywords["config"].policy_loss.loss_mode == "df_vanilla"


def test_a_reference_model_alone_has_no_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ActorRolloutRefWorker, "init_model", lambda _: None)
    one = worker("ref")
    one.init_model()
    assert one.losses == []


@pytest.mark.parametrize(("rows", "expected"), [(6, (6, 5.5)), (None, (16, 16))])
def test_mini_batches_follow_the_trainer_where_it_asks(
    rows: int | None, expected: tuple[int, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setattr(ActorRolloutRefWorker, "update_actor", lambda _, data: seen.append(data))
    data = TensorDict({"responses": torch.zeros(12, 2)}, batch_size=12)
    tu.assign_non_tensor(data, mini_batch_size=16, global_batch_size=16)
    if rows is not None:
        tu.assign_non_tensor(data, **{MINI_BATCH_ROWS: rows, MEAN_ROWS: 5.5})
    worker("actor_rollout").update_actor(data)
    (given,) = seen
    assert (tu.get(given, "mini_batch_size"), tu.get(given, "global_batch_size")) == expected
    assert MINI_BATCH_ROWS not in given and MEAN_ROWS not in given
