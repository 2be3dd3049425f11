# SPDX-License-Identifier: Apache-2.0
"""The actor worker: verl's own, with DF's loss and a mini-batch size that follows the rebuilt groups."""

from functools import partial

from tensordict import TensorDict
from verl.single_controller.base.decorator import Dispatch, make_nd_compute_dataproto_dispatch_fn, register
from verl.utils import tensordict_utils as tu
from verl.utils.config import omega_conf_to_dataclass
from verl.workers.engine_workers import ActorRolloutRefWorker

from verl_df.adapters.loss import df_ppo_loss

MINI_BATCH_ROWS = "df_mini_batch_rows"


class DFActorRolloutRefWorker(ActorRolloutRefWorker):
    """`ActorRolloutRefWorker` whose `loss_fn` is `df_ppo_loss`."""

    @register(dispatch_mode=Dispatch.ONE_TO_ALL)
    def init_model(self):
        super().init_model()
        if "actor" in self.role:
            # as verl builds its own: one ActorConfig, kept by the loss across calls
            self.actor.set_loss_fn(partial(df_ppo_loss, config=omega_conf_to_dataclass(self.config.actor)))

    @register(dispatch_mode=make_nd_compute_dataproto_dispatch_fn(mesh_name="actor"))
    def update_actor(self, data: TensorDict) -> TensorDict:
        """Update, in mini-batches of `df_mini_batch_rows` rows over all ranks where the trainer asks for that."""
        rows = tu.pop(data, key=MINI_BATCH_ROWS, default=None)
        if rows is not None:
            tu.assign_non_tensor(data, mini_batch_size=rows, global_batch_size=rows)
        return super().update_actor(data)
