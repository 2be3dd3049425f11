# SPDX-License-Identifier: Apache-2.0
"""Groups that are sent while others are sampled: verl's real replay buffer and the trainer, prompts end one by one."""

import random
from collections.abc import Sequence
from itertools import permutations
from typing import Any

import pytest
from verl.trainer.ppo import padding_utils
from verl.trainer.ppo.v1 import replay_buffer, trainer_base
from verl.trainer.ppo.v1.trainer_sync import PPOTrainerSync

from tests.unit.adapters.policy_training import test_trainer as support
from tests.unit.adapters.policy_training.test_trainer import BASE, RIGHT, WORDS, WRONG, column, made, row
from tests.unit.adapters.support import MemoryQueue, composed
from verl_df.adapters import data_plane
from verl_df.adapters.policy_training.placement import Hours, sample_seeds
from verl_df.adapters.policy_training.row_fields import GATE
from verl_df.adapters.policy_training.trainer import DFTrainer
from verl_df.method.feedback import RepairSample

# Several right rollouts, so that the reference is drawn, and a repair that shows which reference and seed it had.
PROMPTS = {
    "u": (WRONG, RIGHT, "so " + RIGHT, "four"),
    "v": ("five", "four", RIGHT, "so five"),
    "w": (RIGHT, WRONG, "four " + RIGHT, "five so"),
}
ONE_SAMPLE = ("actor_rollout_ref.rollout.n=4", "df.repair.n=1")


class Telltale(support.FakeRepairModel):
    """A right text whose number of words follows from the prompt, and so from the reference, and from the seed."""

    async def sample(self, messages: list[dict], seeds: Sequence[int], session: str) -> list[RepairSample]:
        text = "".join(item.get("text", "") for item in messages[-1]["content"])
        ids = [WORDS.ids("two " * (len(text.split()) % 5) + "so " * (seed % 3) + "four") for seed in seeds]
        return [RepairSample(token_ids, True, False) for token_ids in ids]


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> MemoryQueue:
    """In place of TransferQueue, for the trainer and for verl's buffer."""
    made_queue = MemoryQueue()
    for module in (data_plane, padding_utils, trainer_base, replay_buffer):
        monkeypatch.setattr(module, "tq", made_queue)
    return made_queue


class Sampling:
    """Prompts that finish one at a time, in a given order of prompts and rollouts, while the buffer waits."""

    def __init__(self, memory: MemoryQueue, order: Sequence[str], seed: int, one: DFTrainer) -> None:
        self.memory, self.order, self.one = memory, list(order), one
        self.rng = random.Random(seed)
        self.sent_at: list[int] = []
        for uid in order:
            memory.tags[uid] = {"is_prompt": True, "status": "running", "global_steps": 1}

    def finish_one(self, seconds: float) -> None:
        """In place of `time.sleep` between two looks."""
        self.sent_at.append(len(self.one._stream._calls))
        uid = self.order.pop(0)
        texts = list(enumerate(PROMPTS[uid]))
        self.rng.shuffle(texts)
        for session, text in texts:
            one = row(uid, text)
            one["index"] = "uvw".index(uid)
            tag = {"prompt_len": 3, "response_len": len(one["responses"]), "seq_len": len(one["input_ids"])}
            self.memory.rows[f"{uid}_{session}_0"] = one
            self.memory.tags[f"{uid}_{session}_0"] = tag | {"min_global_steps": 0, "max_global_steps": 0}
        self.memory.tags[uid]["status"] = "finished"


def step(
    memory: MemoryQueue,
    tmp_path: Any,
    monkeypatch: pytest.MonkeyPatch,
    order: Sequence[str] = "uvw",
    seed: int = 0,
    hours: Hours = Hours.ALWAYS,
) -> tuple[DFTrainer, Sampling, dict, dict]:
    """Sampling and repairs of one step: trainer, sampling, metrics, and gates and tokens by key, in their order."""
    memory.rows.clear()
    memory.tags.clear()
    monkeypatch.setattr(support, "FakeRepairModel", Telltale)
    one = made(composed(*BASE, *ONE_SAMPLE, "data.train_batch_size=4"), tmp_path, monkeypatch, hours=hours)
    sampling, metrics = Sampling(memory, order, seed, one), {}
    monkeypatch.setattr(replay_buffer.time, "sleep", sampling.finish_one)
    batch, _ = one.replay_buffer.sample(global_steps=1, partition_id="train", batch_size=len(order))
    batch = one._difference_feedback(batch, metrics)
    trained = {
        key: (gate, tokens)
        for key, gate, tokens in zip(
            batch.keys, column(memory, batch.keys, GATE), column(memory, batch.keys, "responses"), strict=True
        )
    }
    return one, sampling, metrics, trained


def test_what_comes_out_does_not_depend_on_the_order_in_which_prompts_finish(memory, tmp_path, monkeypatch) -> None:
    seen = []
    for hours in Hours:
        for seed, order in enumerate(permutations("uvw")):
            folder = tmp_path / f"{hours}{seed}"  # one writer for each log
            trained = step(memory, folder, monkeypatch, order, seed, hours)[-1]
            seen.append(list(trained.items()))  # in the batch's order
    assert all(one == seen[0] for one in seen)
    assert len({tuple(tokens) for key, (_, tokens) in seen[0] if "_1000" in key}) > 1


def test_a_group_is_sent_while_the_others_are_sampled(memory, tmp_path, monkeypatch) -> None:
    one, sampling, metrics, _ = step(memory, tmp_path, monkeypatch)
    assert sampling.sent_at == [0, 1, 2]  # what was under way when the next prompt was finished
    assert metrics["df/groups_early"] == 2  # the third filled the batch
    assert sum(map(len, (worker.served for worker in one.reward_loop_manager.reward_loop_workers))) == 3


def test_groups_wait_for_an_engine_that_is_asleep(memory, tmp_path, monkeypatch) -> None:
    one, sampling, _, _ = step(memory, tmp_path, monkeypatch, hours=Hours.PHASE)
    assert sampling.sent_at == [0, 0, 0]
    assert one._placement.history == ["wake", "sleep"]


@pytest.mark.parametrize("hours", list(Hours))
def test_the_rollout_engine_sleeps_after_the_repairs_that_it_makes_itself(
    memory, tmp_path, monkeypatch, hours: Hours
) -> None:
    one = made(composed(*BASE), tmp_path, monkeypatch, hours=hours)
    history: list[str] = []
    monkeypatch.setattr(one._stream, "_get", lambda calls: history.append("wait"))
    monkeypatch.setattr(PPOTrainerSync, "on_sample_end", lambda self: history.append("sleep"))
    one.on_sample_end()
    assert history == (["wait", "sleep"] if hours is Hours.SAMPLING else ["sleep"])


def test_prompts_that_dynamic_sampling_throws_out_are_not_sent(memory, tmp_path, monkeypatch) -> None:
    settings = ("objective=df_dapo", "data.max_response_length=8192", *ONE_SAMPLE, "data.train_batch_size=4")
    one = made(composed(*BASE, *settings), tmp_path, monkeypatch, hours=Hours.ALWAYS)
    sampling = Sampling(memory, "uv", 0, one)
    monkeypatch.setitem(PROMPTS, "u", (RIGHT,) * 4)  # all alike: nothing to learn
    monkeypatch.setattr(replay_buffer.time, "sleep", sampling.finish_one)
    one.replay_buffer.refill_fn = lambda number: None
    batch, _ = one.replay_buffer.sample(global_steps=1, partition_id="train", batch_size=1)
    assert {key[0] for key in batch.keys} == {"v"}
    assert set(one._stream._calls) == {"v"}


def test_validation_sends_nothing(memory, tmp_path, monkeypatch) -> None:
    one = made(composed(*BASE), tmp_path, monkeypatch, hours=Hours.ALWAYS)
    sampling = Sampling(memory, "u", 0, one)
    memory.kv_list = lambda: {"val": dict(memory.tags)}
    monkeypatch.setattr(replay_buffer.time, "sleep", sampling.finish_one)
    one.replay_buffer.sample(global_steps=1, partition_id="val", batch_size=1)
    assert not one._stream._calls


def test_groups_of_prompts_that_were_not_sampled_are_forgotten(memory, tmp_path, monkeypatch) -> None:
    one, *_ = step(memory, tmp_path, monkeypatch)
    assert not one._stream.knows("u")
    assert not one._stream._calls


def test_devices_of_the_repair_model_count_in_throughput(memory, tmp_path, monkeypatch) -> None:
    one = made(composed(*BASE), tmp_path, monkeypatch)
    one._init_resource_pool_mgr()
    of_trainer = one.resource_pool_manager.get_n_gpus()
    assert one._get_n_gpus_for_throughput() == of_trainer + one._placement.devices


def test_seeds_differ_by_sample_and_rollout_and_fit_a_cpus_generator() -> None:
    drawn = [seed for rollout in range(200) for seed in sample_seeds(f"0-1-2-{rollout}", 4)]
    assert len(set(drawn)) == len(drawn)
    assert all(0 <= seed < 2**31 for seed in drawn)
    assert sample_seeds("0-1-2-3", 2) == sample_seeds("0-1-2-3", 4)[:2]
