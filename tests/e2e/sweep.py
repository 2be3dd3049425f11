# SPDX-License-Identifier: Apache-2.0
"""Several objectives in one run: `python -m tests.e2e.sweep +sweep=[NAME,NAME,...] key=value ...`.

On two cores Ray and two vLLM engines take minutes to start, an objective's step seconds. So a run goes through a list
of objectives, one name per step: their files of `recipe/df/config/objective` are laid over its config, in the trainer
and in the actor's workers. The reward manager and the group mode stay those that the run was started with. NAME@KIND
is an objective under the weights `df.weight.kind=KIND`, with `df.loss.kind=KIND`, with one of the controls that are
the trainer's, `df.control.kind=KIND`, or with half of Durian's divisor (`@durian`).
"""

from dataclasses import replace
from functools import partial
from typing import Any

import ray
from omegaconf import DictConfig, OmegaConf, open_dict
from transfer_queue import KVBatchMeta
from verl.single_controller.base.decorator import Dispatch, register
from verl.trainer.ppo.v1.trainer_base import register_trainer
from verl.utils.config import omega_conf_to_dataclass

import recipe.df.main_df as main_df
from verl_df.adapters.policy_training.loss import df_ppo_loss
from verl_df.adapters.policy_training.trainer import DFTrainer
from verl_df.adapters.policy_training.worker import DFActorRolloutRefWorker
from verl_df.controls.settings import IMITATES, Control
from verl_df.settings.control_checks import LIKELIHOOD
from verl_df.settings.loss_config import LossConfig, LossKind
from verl_df.token_weights.durian import DurianConfig
from verl_df.token_weights.settings import WeightConfig, WeightKind
from verl_df.token_weights.weigh import shows_a_response

OBJECTIVES = main_df.CONFIG_FOLDER / "objective"


class SweepWorker(DFActorRolloutRefWorker):
    """An actor worker that can change its loss."""

    @register(dispatch_mode=Dispatch.ONE_TO_ALL)
    def set_loss_of(self, actor: dict[str, Any]) -> None:
        """Train with the loss that a block `actor_rollout_ref.actor` describes."""
        self.actor.set_loss_fn(partial(df_ppo_loss, config=omega_conf_to_dataclass(OmegaConf.create(actor))))


class SweepTrainer(DFTrainer):
    """Takes the objective of `sweep` that is due."""

    def __init__(self, config: DictConfig):
        self._first = OmegaConf.to_container(config)
        super().__init__(config)
        self._control = self.df.control

    def _init_resource_pool_mgr(self) -> None:
        super()._init_resource_pool_mgr()
        self.role_worker_mapping[self._actor_role] = ray.remote(SweepWorker)

    def step(self, metrics: dict, timing_raw: dict) -> KVBatchMeta:
        before, (name, kind) = self._due(max(1, self.global_steps - 1)), self._due(self.global_steps)
        if (name, kind in IMITATES) != (before[0], before[1] in IMITATES):
            self._switch_to(name, kind in IMITATES)
        weight = WeightConfig(kind=kind if kind in list(WeightKind) else "off")
        loss = LossConfig(kind if kind in list(LossKind) else "off")
        control = replace(self._control, kind=kind) if kind in list(Control) else self._control
        durian = DurianConfig(group=0.5, reasoning=0.5, buckets=2) if kind == "durian" else DurianConfig()
        self.df = replace(self.df, weight=weight, loss=loss, control=control, durian=durian)
        if shows_a_response(weight.kind):
            self._shower = self._make_shower()
        return super().step(metrics, timing_raw)

    def _due(self, step: int) -> tuple[str, str]:
        """Objective and weights of a step."""
        name, _, kind = self.config.sweep[step - 1].partition("@")
        return name, kind

    def _switch_to(self, objective: str, imitates: bool) -> None:
        changes = OmegaConf.load(OBJECTIVES / f"{objective}.yaml")
        assert changes.df.group.mode == self.df.group.mode, f"{objective}: the mode cannot change within a run"
        actor = OmegaConf.merge(self._first["actor_rollout_ref"]["actor"], changes.actor_rollout_ref.actor)
        if imitates:
            actor.policy_loss.loss_mode = LIKELIHOOD
        with open_dict(self.config):
            self.config.algorithm = OmegaConf.merge(self._first["algorithm"], changes.algorithm)
            self.config.actor_rollout_ref.actor = actor
        self.replay_buffer = self._build_replay_buffer()  # DAPO's filter is its own
        self.actor_rollout_wg.set_loss_of(OmegaConf.to_container(actor))
        print(f"sweep: step {self.global_steps}, {objective}", flush=True)


class SweepTaskRunner(main_df.DFTaskRunner):
    """Puts the sweep's trainer in the place of DF's, after the launcher's checks."""

    def run(self, config: DictConfig) -> None:
        register_trainer("df_sweep")(SweepTrainer)
        config.trainer.v1.trainer_mode = "df_sweep"
        super().run(config)


if __name__ == "__main__":
    from tests.e2e import sweep  # by its own name: Ray's processes import the classes from there

    main_df.DFTaskRunner = sweep.SweepTaskRunner
    main_df.main()
