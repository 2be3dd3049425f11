# SPDX-License-Identifier: Apache-2.0
"""The ledger and the budget in verl's own training loop, with the training replaced."""

import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf
from transfer_queue import KVBatchMeta
from verl.trainer.ppo.v1 import PPOTrainerSync, trainer_base
from verl.utils.debug import marked_timer

from verl_df.adapters.accounted import AccountedTrainer, known_parts
from verl_df.adapters.clean_stop import StopRequest
from verl_df.ledger.memory import ProcessMemory
from verl_df.ledger.rows import Parts
from verl_df.ledger.spent import LEDGER_FILE, read_rows

STEP_S, SAVE_S = 0.02, 0.05


class Memory:
    """A `RunMemory`: every process uses 1 GiB in every phase. phases: of each step."""

    def __init__(self) -> None:
        self.phases: list[list[str]] = []

    def find(self) -> None:
        assert not self.phases

    def begin(self) -> None:
        self.phases.append([])

    def end(self, phase: str) -> None:
        self.phases[-1].append(phase)

    def take(self, metrics: dict[str, Any]) -> tuple[ProcessMemory, ...]:
        return (ProcessMemory("trainer", 0, 1, dict.fromkeys(self.phases[-1], 1.0), {}),)


class Loop(AccountedTrainer):
    """verl's `fit` around steps that sleep. global_steps: that it goes on from."""

    def __init__(self, folder: Path, budget: float | None, global_steps: int, save_freq: int, test_freq: int) -> None:
        self._ledger_folder, self._budget, self._repair_time = folder, budget, None
        self._stop, self.stop_in = StopRequest(folder), 0
        trainer = {"project_name": "p", "experiment_name": "e", "logger": ["console"], "total_epochs": 9}
        trainer |= {"save_freq": save_freq, "test_freq": test_freq, "val_before_train": False}
        self.config: DictConfig = OmegaConf.create({"trainer": trainer, "global_profiler": {"steps": None}})
        self.global_steps, self.total_training_steps, self.steps_per_epoch = global_steps, 6, 100
        self.resource_pool_manager = SimpleNamespace(get_n_gpus=lambda: 2)
        self.checkpoint_manager = SimpleNamespace(update_weights=lambda step: None, sleep_replicas=lambda: None)
        self.curr_step_profile = False
        self.saved: list[int] = []
        self.validated: list[int] = []
        self.logged: dict[int, dict[str, float]] = {}
        self._setup()
        self._memory: Any = Memory()
        self.phases = self._memory.phases

    def step(self, metrics: dict, timing_raw: dict) -> KVBatchMeta:
        return self._step_once(metrics, timing_raw, 1)

    def _validate(self) -> dict[str, float]:
        self.validated.append(self.global_steps)
        return {}

    def nothing(self, *_: Any, **__: Any) -> None:
        """Takes the place of what needs a cluster."""

    _start_profiling = _stop_profiling = _shutdown_dump_executor = _reissue_inflight_prompts = nothing


def one_step(self: Loop, metrics: dict, timing_raw: dict, sample_batch_size: int) -> KVBatchMeta:
    """verl's parts of a step that matter here, in its order."""
    batch = KVBatchMeta(partition_id="train", keys=[], tags=[])
    with marked_timer("gen", timing_raw):
        time.sleep(STEP_S)
        self.on_sample_end()
    self._compute_advantage(batch, metrics)
    if self.global_steps == self.stop_in:
        self._stop.make()
    return batch


def save(self: Loop) -> None:
    time.sleep(SAVE_S)
    self.saved.append(self.global_steps)


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Loop]:
    logged: dict[int, dict[str, float]] = {}
    for name in ("SkipManager", "ValidationGenerationsLogger", "DapoFilteredRewardTableLogger"):
        fake = SimpleNamespace(init=lambda config: None, set_step=lambda step: None)
        monkeypatch.setattr(trainer_base, name, fake if name == "SkipManager" else lambda **_: None)
    logger = SimpleNamespace(log=lambda data, step: logged.update({step: data}))
    monkeypatch.setattr(trainer_base, "Tracking", lambda **_: logger)
    monkeypatch.setattr(trainer_base, "tq", SimpleNamespace(kv_clear=lambda **_: None))
    monkeypatch.setattr(PPOTrainerSync, "_setup", lambda self: None)
    monkeypatch.setattr(PPOTrainerSync, "_compute_metrics", lambda self, *_, **__: None)
    monkeypatch.setattr(PPOTrainerSync, "_step_once", one_step)
    monkeypatch.setattr(PPOTrainerSync, "_save_checkpoint", save)
    monkeypatch.setattr(PPOTrainerSync, "_compute_advantage", lambda self, batch, metrics: batch)

    def run(budget: float | None, after: int = 0, save_freq: int = -1, test_freq: int = -1, stop_in: int = 0) -> Loop:
        one = Loop(tmp_path, budget, after, save_freq, test_freq)
        one.stop_in = stop_in
        one.fit(agent_loop_manager=None)
        if one._ledger._writer is not None:
            one._ledger._writer.close()
        one.logged = logged
        return one

    return run


def test_every_step_has_a_row_and_saving_is_none_of_it(loop: Callable[..., Loop], tmp_path: Path) -> None:
    one = loop(None, save_freq=2)
    rows = read_rows(tmp_path)
    assert [row.step for row in rows] == [1, 2, 3, 4, 5, 6] and one.saved == [2, 4, 6]
    for row in rows:
        assert row.seconds.rollout >= STEP_S
        assert row.device_seconds == row.seconds * 2
    assert one.logged[6]["ledger/device_seconds"] == pytest.approx(sum(row.device_seconds.total for row in rows))
    # verl's timer of the step has the checkpoint in it, the row has not
    timing = one.timing_raw
    assert rows[-1].seconds.total == pytest.approx(timing["step"] - timing["save_checkpoint"])


def test_a_spent_budget_ends_the_run_with_a_checkpoint(
    loop: Callable[..., Loop], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    budget = 2 * 2 * STEP_S  # two devices; a step takes a little more than STEP_S
    one = loop(budget, test_freq=5)
    spent = [row.device_seconds.total for row in read_rows(tmp_path)]
    assert sum(spent) >= budget and 1 <= len(spent) <= 2  # of 6
    assert one.saved == one.validated == [len(spent)]
    line = f"df.budget.device_seconds={budget:g} is spent"
    assert [said for said in capsys.readouterr().out.splitlines() if said.startswith(line)] != []


def test_what_was_spent_before_counts(
    loop: Callable[..., Loop], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = loop(1e-3, save_freq=1)
    assert first.saved == [1] and (tmp_path / LEDGER_FILE).is_file()
    again = loop(1e-3, after=1, save_freq=1)
    assert again.saved == [] and len(read_rows(tmp_path)) == 1
    assert "before step 2, and nothing is left to do" in capsys.readouterr().out
    before = first._ledger.spent.device_seconds.total
    more = loop(before + 1e-3, after=1)
    assert more.saved == [2] and len(read_rows(tmp_path)) == 2


def test_a_checkpoint_that_verl_has_just_saved_is_enough(loop: Callable[..., Loop]) -> None:
    assert loop(1e-3, save_freq=1).saved == [1]


def test_a_budget_that_is_never_spent_changes_nothing(loop: Callable[..., Loop]) -> None:
    one = loop(1e6, save_freq=6, test_freq=3)
    assert one.saved == [6] and one.validated == [3, 6]


@pytest.mark.parametrize("save_freq", [-1, 1, 2])
def test_a_stop_ends_the_run_with_a_checkpoint_of_its_step(
    loop: Callable[..., Loop], tmp_path: Path, capsys: pytest.CaptureFixture[str], save_freq: int
) -> None:
    one = loop(None, save_freq=save_freq, test_freq=5, stop_in=3)
    assert [row.step for row in read_rows(tmp_path)] == [1, 2, 3] and sorted(one.logged) == [1, 2, 3]
    assert one.saved == {-1: [3], 1: [1, 2, 3], 2: [2, 3]}[save_freq] and one.validated == [3]
    assert "the run stops after step 3, with a checkpoint" in capsys.readouterr().out
    assert not one._stop.made()  # taken: the driver reads it so


def test_a_stop_in_the_last_step_changes_nothing(loop: Callable[..., Loop]) -> None:
    one = loop(None, save_freq=4, stop_in=6)
    assert one.saved == [4, 6] and one._stop.made()


def test_a_stop_before_the_first_step_does_none(
    loop: Callable[..., Loop], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    StopRequest(tmp_path).make()
    one = loop(None, after=2, save_freq=1)
    assert one.saved == [] and one.logged == {} and not one._stop.made()
    assert "stopped before step 3" in capsys.readouterr().out


def test_memory_is_looked_at_after_each_phase(loop: Callable[..., Loop], tmp_path: Path) -> None:
    one = loop(None, save_freq=4, test_freq=3)
    always = ["rollout", "log_probs", "update"]
    saved, validated = {4, 6}, {3, 6}
    assert one.phases == [
        [*always, *["save"] * (step in saved), "weight_sync", *["validation"] * (step in validated)]
        for step in range(1, 7)
    ]
    for row, phases in zip(read_rows(tmp_path), one.phases, strict=True):
        assert row.memory == (ProcessMemory("trainer", 0, 1, dict.fromkeys(phases, 1.0), {}),)
        assert one.logged[row.step]["df/memory/total"] == one.logged[row.step]["df/memory/trainer/update"] == 1.0


def test_timers_are_parts() -> None:
    timers = {"gen": 10.0, "df_sampling": 2.0, "df": 4.0, "old_log_prob": 1.0, "ref": 0.5, "values": 0.25}
    timers |= {"adv": 0.125, "update_critic": 1.0, "update_actor": 2.0, "update_weights": 0.5, "step": 30.0}
    found = known_parts(timers, waited=5.0)
    # of 5 seconds of waiting, 2 lie in `gen` and 3 in `df`
    assert found == Parts(rollout=8.0, alignment=1.0, log_probs=1.75, update=3.125, weight_sync=0.5)
    assert known_parts({"gen": 10.0}) == Parts(rollout=10.0)
