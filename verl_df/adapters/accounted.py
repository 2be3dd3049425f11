# SPDX-License-Identifier: Apache-2.0
"""verl's synchronous trainer with a ledger of time and memory, a budget of device-seconds at which a run ends, and a
clean stop.
"""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from omegaconf import DictConfig, open_dict
from ray.actor import ActorHandle
from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer
from verl.trainer.ppo.v1.trainer_sync import PPOTrainerSync
from verl.utils.debug import marked_timer

from verl_df.adapters import data_plane
from verl_df.adapters.clean_stop import StopRequest
from verl_df.adapters.data_plane import Batch
from verl_df.adapters.living_workers import end_with_dead_workers
from verl_df.adapters.run_memory import RunMemory
from verl_df.ledger.memory import ProcessMemory, memory_metrics
from verl_df.ledger.rows import LedgerRow, Parts, RepairTime, step_row
from verl_df.ledger.spent import Ledger

SAVING = "save_checkpoint"
# Of the wait for repairs, what falls into verl's own timer `gen`; and all of what DF does after sampling.
REPAIRS_IN_SAMPLING, AFTER_SAMPLING = "df_sampling", "df"
MEMORY = "df_memory"  # seconds that looking at the memory took


def known_parts(timing: Mapping[str, float], waited: float = 0.0) -> Parts:
    """Seconds of a step by verl's timers and DF's.

    Args:
        timing: seconds by timer.
        waited: seconds in which the trainer waited for repairs, which are none of these parts.
    """

    def seconds(*names: str) -> float:
        return sum(timing.get(name, 0.0) for name in names)

    in_sampling = seconds(REPAIRS_IN_SAMPLING)
    return Parts(
        rollout=max(0.0, seconds("gen", "reward") - in_sampling),
        alignment=max(0.0, seconds(AFTER_SAMPLING) - (waited - in_sampling)),
        log_probs=seconds("old_log_prob", "ref", "values"),
        update=seconds("adv", "update_critic", "update_actor"),
        weight_sync=seconds("update_weights"),
    )


class AccountedTrainer(PPOTrainerSync):
    """The only differences from `PPOTrainerSync`: a row of the ledger after each step, the budget, an
    end after a step when the driver asks for one, and an end when a worker dies that rollouts are waited for.

    Args:
        config: verl's.
        folder: of the ledger.
        budget: device-seconds; None: as many as it takes.
    """

    def __init__(self, config: DictConfig, folder: Path, budget: float | None) -> None:
        self._ledger_folder, self._budget = folder, budget
        self._stop = StopRequest(Path(config.trainer.default_local_dir))
        self._repair_time: RepairTime | None = None
        self._step_started = 0.0
        self._memory = RunMemory(self.processes)
        self.timing_raw: dict[str, float] = {}  # verl's, which it makes with the first step
        with open_dict(config):
            # verl compares the mode with the literal "sync" in six places; any other name would silently get the
            # asynchronous replay buffer and checkpoints. From here on this is a synchronous trainer.
            config.trainer.v1.trainer_mode = "sync"
        super().__init__(config)

    def _setup(self) -> None:
        super()._setup()
        self._ledger = Ledger(self._ledger_folder, self.global_steps)

    def _build_replay_buffer(self) -> ReplayBuffer:
        buffer = super()._build_replay_buffer()
        end_with_dead_workers(
            buffer, lambda: [*self.agent_loop_manager.agent_loop_workers, *self.reward_loop_manager.reward_loop_workers]
        )
        return buffer

    # ---- the end ahead of time ---------------------------------------------------------------------------------------

    def on_train_begin(self) -> None:
        """verl's; a run that goes on although its budget is spent, or that is to stop already, does no step."""
        super().on_train_begin()
        self._memory.find()  # here, where no step is timed
        if self._stop.made():
            self._stop.take()
            self.total_training_steps = self.global_steps - 1
            print(f"stopped before step {self.global_steps}: nothing is lost")
            return
        spent = self._ledger.spent.device_seconds.total
        if self._budget is not None and spent >= self._budget:
            self.total_training_steps = self.global_steps - 1
            print(self._budget_line(spent, f"before step {self.global_steps}, and nothing is left to do"))

    def on_step_begin(self) -> None:
        """verl's, and the clock starts."""
        super().on_step_begin()
        self._step_started, self._repair_time = time.perf_counter(), None
        with marked_timer(MEMORY, self.timing_raw):
            self._memory.begin()

    def on_step_end(self) -> None:
        """verl's weight sync, after a look at stop and budget: a checkpoint is saved while the engine still sleeps."""
        if self.global_steps < self.total_training_steps:
            if self._stop.made():
                self._stop.take()
                print(f"the run stops after step {self.global_steps}, with a checkpoint")
                self.end_after_this_step()
            else:
                self._end_when_spent()
        super().on_step_end()
        self._end_phase("weight_sync")

    def _end_when_spent(self) -> None:
        if self._budget is None:
            return
        so_far = self._row(time.perf_counter() - self._step_started).device_seconds.total
        spent = self._ledger.spent.device_seconds.total + so_far
        if spent >= self._budget:
            print(self._budget_line(spent, f"with step {self.global_steps}, and the run ends with a checkpoint"))
            self.end_after_this_step()

    def _budget_line(self, spent: float, what: str) -> str:
        return f"df.budget.device_seconds={self._budget:g} is spent ({spent:.1f}) {what}"

    def end_after_this_step(self) -> None:
        """Make this step verl's last one, saved, and validated where the run validates; for `on_step_end`."""
        self.total_training_steps = self.global_steps
        if SAVING not in self.timing_raw:
            with marked_timer(SAVING, self.timing_raw, color="green"):
                self._save_checkpoint()
        if self.config.trainer.test_freq > 0:
            with open_dict(self.config):
                self.config.trainer.test_freq = 1  # verl looks at it next

    # ---- memory ------------------------------------------------------------------------------------------------------

    def processes(self) -> dict[str, Sequence[ActorHandle]]:
        """The run's actors by kind; of a process with two kinds the first counts."""
        groups = {"actor": self.actor_rollout_wg}
        if self.use_reference_policy:
            groups["reference"] = self.ref_policy_wg
        if self.use_critic:
            groups["critic"] = self.critic_wg
        return {
            **{kind: group.workers for kind, group in groups.items()},
            "rollout_engine": [one for replica in self.llm_server_manager.get_replicas() for one in replica.servers],
            "agent_loop": self.agent_loop_manager.agent_loop_workers,
            "reward": self.reward_loop_manager.reward_loop_workers,
            "data_queue": data_plane.processes(),
        }

    def _end_phase(self, name: str) -> None:
        """One of `ledger.memory.PHASES` is over."""
        with marked_timer(MEMORY, self.timing_raw):
            self._memory.end(name)

    def on_sample_end(self) -> None:
        """verl's, which puts the rollout engine to sleep, after a look at what it used."""
        self._end_phase("rollout")
        super().on_sample_end()

    def _compute_advantage(self, batch: Batch, metrics: dict) -> Batch:
        self._end_phase("log_probs")
        return super()._compute_advantage(batch, metrics)

    def _step_once(self, metrics: dict, timing_raw: dict, sample_batch_size: int) -> Batch:
        batch = super()._step_once(metrics, timing_raw, sample_batch_size)
        self._end_phase("update")
        return batch

    def _save_checkpoint(self) -> None:
        super()._save_checkpoint()
        self._end_phase("save")

    def on_validate_end(self) -> None:
        """verl's, and validation is over; the one before training belongs to no step, and is not looked at."""
        super().on_validate_end()
        self._end_phase("validation")

    # ---- the ledger --------------------------------------------------------------------------------------------------

    def _row(self, wall: float, memory: tuple[ProcessMemory, ...] = ()) -> LedgerRow:
        """The row of the step that takes `wall` seconds, saving included."""
        repair = self._repair_time
        trainer = self.resource_pool_manager.get_n_gpus()
        return step_row(
            self.global_steps,
            wall - self.timing_raw.get(SAVING, 0.0),
            known_parts(self.timing_raw, repair.waited if repair else 0.0),
            devices=trainer,
            repair_devices=self._get_n_gpus_for_throughput() - trainer,
            repair=repair,
            memory=memory,
        )

    def _compute_metrics(self, batch: Batch, metrics: dict, timing_raw: dict, global_steps: int, epoch: int) -> None:
        super()._compute_metrics(batch, metrics, timing_raw, global_steps, epoch)
        self._account(metrics)

    def _account(self, metrics: dict) -> None:
        """Write the step's row. To be called when its timers have stopped."""
        memory = self._memory.take(metrics)
        metrics.update(memory_metrics(memory))
        self._ledger.write(self._row(self.timing_raw["step"], memory))
        metrics["ledger/device_seconds"] = self._ledger.spent.device_seconds.total
