# SPDX-License-Identifier: Apache-2.0
"""The actor worker: verl's own, with DF's loss and a mini-batch size that follows the rebuilt groups."""

from functools import partial

from tensordict import TensorDict
from verl.single_controller.base.decorator import Dispatch, make_nd_compute_dataproto_dispatch_fn, register
from verl.utils import tensordict_utils as tu
from verl.utils.config import omega_conf_to_dataclass
from verl.workers.engine_workers import ActorRolloutRefWorker

from verl_df.adapters.policy_training.blind_pass import BLIND_LOG_PROBS, hide_pictures
from verl_df.adapters.policy_training.loss import RowUpdates, df_ppo_loss
from verl_df.adapters.policy_training.shown_pass import SHOWN_LOG_PROBS, show_responses

# Rows of a mini-batch over all ranks, verl's empty ones included, and the mean number of those that are trained on.
MINI_BATCH_ROWS = "df_mini_batch_rows"
MEAN_ROWS = "df_mean_rows"


class DFActorRolloutRefWorker(ActorRolloutRefWorker):
    """`ActorRolloutRefWorker` whose `loss_fn` is `df_ppo_loss`."""

    @register(dispatch_mode=Dispatch.ONE_TO_ALL)
    def init_model(self):
        super().init_model()
        if "actor" in self.role:
            # as verl builds its own: one ActorConfig, kept by the loss across calls
            config = omega_conf_to_dataclass(self.config.actor)
            self._updates: RowUpdates = {}
            self.actor.set_loss_fn(partial(df_ppo_loss, config=config, updates=self._updates))

    @register(dispatch_mode=Dispatch.ONE_TO_ALL)
    def take_row_updates(self) -> RowUpdates:
        """What the last update saw of the logged rows that this process trained on."""
        taken = dict(self._updates)
        self._updates.clear()
        return taken

    @register(dispatch_mode=make_nd_compute_dataproto_dispatch_fn(mesh_name="actor"))
    def compute_blind_log_prob(self, data: TensorDict) -> TensorDict | None:
        """verl's `compute_log_prob` with the pictures hidden, in a column of its own (see `blind_pass`)."""
        return self._further_pass(hide_pictures(data), BLIND_LOG_PROBS)

    @register(dispatch_mode=make_nd_compute_dataproto_dispatch_fn(mesh_name="actor"))
    def compute_shown_log_prob(self, data: TensorDict) -> TensorDict | None:
        """verl's `compute_log_prob` after prompts that show a right response, in a column of its own: of whole
        sequences, which are longer than the rows' own (see `shown_pass`).
        """
        return self._further_pass(show_responses(data), SHOWN_LOG_PROBS)

    def _further_pass(self, data: TensorDict, column: str) -> TensorDict | None:
        """A router's choices are those of this pass, and are not recorded for the update."""
        if self.enable_routing_replay:
            tu.assign_non_tensor(data, enable_routing_replay=False)
        output = self.actor.infer_batch(data)
        if output is None:
            return None
        output[column] = output.pop("log_probs")
        return output.cpu()

    @register(dispatch_mode=make_nd_compute_dataproto_dispatch_fn(mesh_name="actor"))
    def update_actor(self, data: TensorDict) -> TensorDict:
        """Update, in mini-batches of `df_mini_batch_rows` rows over all ranks where the trainer asks for that.

        A mean over sequences is then taken over `df_mean_rows`, the same for all mini-batches of the batch: verl's own
        denominator counts empty rows, so a row would weigh less on more ranks, which ask for more of them.
        """
        rows = tu.pop(data, key=MINI_BATCH_ROWS, default=None)
        if rows is not None:
            mean_rows = tu.pop(data, key=MEAN_ROWS)
            tu.assign_non_tensor(data, mini_batch_size=rows, global_batch_size=mean_rows)
        return super().update_actor(data)
