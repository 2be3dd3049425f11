# SPDX-License-Identifier: Apache-2.0
"""The trainer's own steps on verl's real classes, with the queue, the workers and the engines replaced."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import DictConfig
from PIL import Image
from ray.exceptions import GetTimeoutError
from tensordict import TensorDict
from transfer_queue import KVBatchMeta
from verl import DataProto
from verl.trainer.ppo import padding_utils
from verl.trainer.ppo.v1 import PPOTrainerSync, trainer_base
from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer
from verl.utils.tensordict_utils import list_of_dict_to_tensordict

from tests.unit.adapters.support import MemoryQueue, Words, composed
from verl_df.adapters import data_plane
from verl_df.adapters.policy_training import group_stream, rows, trainer
from verl_df.adapters.policy_training.blind_pass import BLIND_LOG_PROBS, Hiding
from verl_df.adapters.policy_training.group_log import GroupLog
from verl_df.adapters.policy_training.loss import RATIO_SUMS
from verl_df.adapters.policy_training.pair_log import PairLog
from verl_df.adapters.policy_training.placement import Hours
from verl_df.adapters.policy_training.reward_manager import DFRewardManager
from verl_df.adapters.policy_training.row_fields import GATE, IS_REPAIR, LOGGED
from verl_df.adapters.policy_training.rows import repair_key
from verl_df.adapters.policy_training.shown_pass import SHOWN, SHOWN_LOG_PROBS
from verl_df.adapters.policy_training.trainer import DFTrainer, _NothingToTrain
from verl_df.adapters.policy_training.worker import MEAN_ROWS, MINI_BATCH_ROWS
from verl_df.ledger.spent import Ledger, read_rows
from verl_df.method.feedback import RepairSample
from verl_df.method.group_records import GROUPS, GROUPS_FILE
from verl_df.method.records import PAIRS
from verl_df.method.token_arrays import TOKEN_ARRAYS, TOKEN_ARRAYS_FILE
from verl_df.settings.config import RepairConfig
from verl_df.settings.objectives import ESTIMATORS, gated
from verl_df.token_weights.settings import WeightKind
from verl_df.token_weights.weigh import METHODS, hidden_share, shows_a_response

WORDS = Words(["two", "and", "make", "four", "five", "so"])
RIGHT, WRONG = "two and two make four", "two and two make five"
PROMPT = [1, 2, 1]
BASE = ("data.train_batch_size=8", "actor_rollout_ref.actor.ppo_mini_batch_size=4", "actor_rollout_ref.rollout.n=2")


def compute_score(data_source: str, solution_str: str, ground_truth: str, extra_info: dict, **_: Any) -> float:
    return float(ground_truth in solution_str)


class FakeRepairModel:
    """Every repair is the right text; it is a connection to itself."""

    def open(self, repair: RepairConfig, max_concurrency: int) -> "FakeRepairModel":
        return self

    async def sample(self, messages: list[dict], seeds: Sequence[int], session: str) -> list[RepairSample]:
        return [RepairSample(WORDS.ids(RIGHT), True, False)] * len(seeds)


class Worker:
    """A reward worker in this process, behind Ray's way of calling it."""

    def __init__(self, config: DictConfig) -> None:
        self.manager = DFRewardManager(config, WORDS, compute_score)
        self.compute_score_batch = SimpleNamespace(remote=self._score)
        self.served: list[int] = []

    def _score(self, data: DataProto) -> list[dict]:
        self.served.append(len(data))

        async def score() -> list[dict]:
            self.manager.loop = self.manager.base.loop = asyncio.get_running_loop()
            return await asyncio.gather(*(self.manager.run_single(data[row : row + 1]) for row in range(len(data))))

        return asyncio.run(score())


class Place:
    """A placement that notes when it is awake."""

    self_test, devices = False, 3

    def __init__(self, hours: Hours) -> None:
        self.hours, self.connection = hours, FakeRepairModel()
        self.history: list[str] = []

    def metrics(self) -> dict[str, float]:
        return {}

    def settle(self, asked: int, unanswered: int) -> None:
        self.settled = (asked, unanswered)

    @contextmanager
    def awake(self) -> Iterator[None]:
        self.history.append("wake")
        yield
        self.history.append("sleep")


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> MemoryQueue:
    memory = MemoryQueue()
    for module in (data_plane, padding_utils, trainer_base):
        monkeypatch.setattr(module, "tq", memory)
    return memory


def made(
    config: DictConfig,
    tmp_path: Any,
    monkeypatch: pytest.MonkeyPatch,
    dp_size: int = 1,
    hours: Hours = Hours.PHASE,
    folder: str = "",
) -> DFTrainer:
    """A DF trainer as after `_setup`, with two reward workers and `dp_size` actor ranks."""
    monkeypatch.setattr(group_stream.ray, "get", lambda calls, timeout: calls)
    one = DFTrainer(config)
    workers = [Worker(config), Worker(config)]
    one.reward_loop_manager = SimpleNamespace(reward_loop_workers=workers, reward_loop_worker_handles=workers)
    one.actor_rollout_wg = SimpleNamespace(_dispatch_info={"actor": list(range(dp_size))})
    one.tokenizer = WORDS
    one._end_ids = frozenset([WORDS.eos_token_id])
    one._use(Place(hours))
    one._pair_log = PairLog(tmp_path / folder, -1)  # one writer for each
    one._group_log = GroupLog(tmp_path / folder, -1)
    one.global_steps, one.timing_raw, one.curr_step_profile = 1, {}, False
    return one


def row(uid: str, text: str) -> dict[str, Any]:
    response = torch.tensor(WORDS.ids(text))
    r_task = float("four" in text)
    scores = torch.zeros(len(response))
    scores[-1] = r_task
    content = [{"type": "image", "image": Image.new("RGB", (56, 56))}, {"type": "text", "text": "2+2?"}]
    input_ids = torch.cat([torch.tensor(PROMPT), response])
    return {
        "uid": uid,
        "raw_prompt": [{"role": "user", "content": content}],
        "data_source": "test",
        "reward_model": {"style": "rule", "ground_truth": "four"},
        "extra_info": {"index": 0},
        "index": 0,
        "prompts": torch.tensor(PROMPT),
        "responses": response,
        "response_mask": torch.ones_like(response),
        "loss_mask": torch.ones_like(response),
        "input_ids": input_ids,
        "position_ids": torch.arange(len(input_ids)),
        "rm_scores": scores,
        "rollout_log_probs": torch.full((len(response),), -1.0),
        "num_turns": 2,
        "extra_fields": {"reward_extra_info": {"r_task": r_task}},
    }


def sampled(queue: MemoryQueue, prompts: dict[str, Sequence[str]]) -> KVBatchMeta:
    """Rollouts by prompt, as verl's replay buffer hands them on."""
    texts = [(uid, place, text) for uid, given in prompts.items() for place, text in enumerate(given)]
    made_rows = {f"{uid}_{place}_0": row(uid, text) for uid, place, text in texts}
    tags = [
        {"prompt_len": 3, "response_len": len(one["responses"]), "seq_len": len(one["input_ids"])}
        | {"min_global_steps": 0, "max_global_steps": 0}
        for one in made_rows.values()
    ]
    fields = list_of_dict_to_tensordict(list(made_rows.values()))
    queue.kv_batch_put(keys=list(made_rows), partition_id="train", fields=fields, tags=tags)
    return KVBatchMeta(keys=list(made_rows), tags=tags, partition_id="train")


def column(queue: MemoryQueue, keys: list[str], name: str) -> list[list]:
    return [queue.rows[key][name].tolist() for key in keys]


# ---- set-up ----------------------------------------------------------------------------------------------------------


def test_it_is_a_synchronous_trainer_whatever_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    config = composed(*BASE)
    one = DFTrainer(config)
    assert config.trainer.v1.trainer_mode == one.trainer_mode == "sync"
    assert type(one.replay_buffer) is ReplayBuffer
    assert one.replay_buffer.trainer_mode == "sync"
    assert one.parameter_sync_step == 1


def test_dynamic_sampling_looks_at_the_task_reward() -> None:
    objective = ("objective=df_dapo", "data.max_response_length=8192")
    assert DFTrainer(composed(*BASE, *objective)).replay_buffer.filter_groups_metric == rows.TASK_REWARD
    assert DFTrainer(composed(*BASE)).replay_buffer.filter_groups_metric is None


def test_the_actors_workers_are_dfs_and_the_roles_are_verls() -> None:
    one = DFTrainer(composed(*BASE))
    one._init_resource_pool_mgr()
    assert set(one.role_worker_mapping) == {one._actor_role}
    worker = one.role_worker_mapping[one._actor_role].__ray_metadata__.modified_class
    assert "DFActorRolloutRefWorker" in worker.__name__


# ---- the repair phase ------------------------------------------------------------------------------------------------

TWO_PROMPTS = {"u": (RIGHT, WRONG), "v": (RIGHT, "four " + RIGHT), "w": ("so so", RIGHT)}


def test_sampled_groups_become_optimised_groups(queue, tmp_path, monkeypatch) -> None:
    one, metrics = made(composed(*BASE), tmp_path, monkeypatch, dp_size=2), {}
    batch = one._balance_batch(sampled(queue, TWO_PROMPTS), metrics)
    # two pairs, one prompt all right; a multiple of 2 ranks x 2 mini-batches
    assert sorted(batch.keys) == ["u_1000001_0", "u_1_0", "w_0_0", "w_1000000_0"]
    assert len(queue.rows) == len(batch.keys)
    gates = dict(zip(batch.keys, column(queue, batch.keys, GATE), strict=True))
    assert gates["u_1_0"] == gates["u_1000001_0"] == [0, 0, 0, 0, 1, 0]
    assert {key: any(queue.rows[key][IS_REPAIR].tolist()) for key in batch.keys} == {
        "u_1000001_0": True,
        "u_1_0": False,
        "w_0_0": False,
        "w_1000000_0": True,
    }
    assert (metrics["df/prompts"], metrics["df/repaired"], metrics["df/skipped/all_correct"]) == (3, 2, 1)
    assert one._placement.history == ["wake", "sleep"]
    assert [worker.served for worker in one.reward_loop_manager.reward_loop_workers] == [[1, 1], [1]]
    pairs = list(PAIRS.read(tmp_path / "pairs.jsonl"))
    assert [pair.uid for pair in pairs] == ["u", "w"]
    assert all(len(pair.images) == 1 and pair.prompt == "<image>2+2?" and pair.step == 1 for pair in pairs)
    assert one.timing_raw["df"] > 0


def test_preferred_responses_are_references_where_no_rollout_is_right_too(queue, tmp_path, monkeypatch) -> None:
    one, metrics = made(composed(*BASE, "df.group.reference=preferred"), tmp_path, monkeypatch), {}
    sample = sampled(queue, {"u": (RIGHT, WRONG), "v": (WRONG, "so so")})
    for key in sample.keys:
        queue.rows[key]["extra_info"] = {"preferred_response": f"prefer {key[0]}"}
    one._balance_batch(sample, metrics)
    assert (metrics["df/repaired"], metrics["df/reference/preferred"], metrics["df/skipped/no_correct"]) == (3, 2, 0)
    pairs = list(PAIRS.read(tmp_path / "pairs.jsonl"))
    assert {(pair.uid, pair.reference, pair.reference_kind) for pair in pairs} == {
        ("u", "prefer u", "preferred"),
        ("v", "prefer v", "preferred"),
    }


def test_a_row_without_preferred_response_ends_the_run(queue, tmp_path, monkeypatch) -> None:
    """Files that the checks before the start leave to verl: JSON lines, and those of other machines."""
    one = made(composed(*BASE, "df.group.reference=preferred"), tmp_path, monkeypatch)
    with pytest.raises(ValueError, match="extra_info.preferred_response is missing"):
        one._balance_batch(sampled(queue, {"u": (RIGHT, WRONG)}), {})


def test_verls_padding_rows_carry_no_gate(queue, tmp_path, monkeypatch) -> None:
    one = made(composed(*BASE), tmp_path, monkeypatch, dp_size=3)
    batch = one._balance_batch(sampled(queue, TWO_PROMPTS), {})
    assert len(batch.keys) == 6
    padding = [key for key, tag in zip(batch.keys, batch.tags, strict=True) if tag.get("is_padding")]
    assert len(padding) == 2
    assert column(queue, padding, GATE) == column(queue, padding, IS_REPAIR) == [[0], [0]]
    assert column(queue, padding, "response_mask") == [[0], [0]]


def test_without_repairs_the_batch_is_verls_with_gates_of_ones(queue, tmp_path, monkeypatch) -> None:
    one = made(composed(*BASE, "df.group.mode=off"), tmp_path, monkeypatch)
    sample = sampled(queue, TWO_PROMPTS)
    batch = one._balance_batch(sample, {})
    assert len(batch.keys) == 8  # verl's multiple: 4 prompts x 2 rollouts a mini-batch
    real = [key for key in batch.keys if not key.startswith("pad")]
    assert sorted(real) == sorted(sample.keys)
    assert all(set(gate) == {1.0} for gate in column(queue, real, GATE))
    assert one._placement.history == []


@pytest.mark.parametrize("mode", ["repair_pairs", "gate_only", "off"])
def test_several_outputs_of_one_rollout_are_refused(queue, tmp_path, monkeypatch, mode: str) -> None:
    one = made(composed(*BASE, f"df.group.mode={mode}"), tmp_path, monkeypatch)
    sample = sampled(queue, {"u": (RIGHT, WRONG)})
    sample.keys[1] = "u_0_1"
    with pytest.raises(NotImplementedError, match="'u_0_1'.: use an agent loop with a single output"):
        one._balance_batch(sample, {})


def test_a_response_without_end_token_is_unfinished(queue, tmp_path, monkeypatch) -> None:
    one = made(composed(*BASE), tmp_path, monkeypatch)
    sample = sampled(queue, {"u": (RIGHT, WRONG)})
    queue.rows["u_1_0"] |= {"responses": torch.tensor(WORDS.ids(WRONG)[:-1]), "response_mask": torch.ones(5).long()}
    (prompt,) = rows.read_prompts(sample)
    request = one._group_row(prompt).request
    assert [rollout.finished for rollout in request.rollouts] == [True, False]
    assert (request.uid, request.answer, request.seed) == ("u", "four", "0-1-0")


def test_a_task_reward_outside_its_range_names_the_rollout(queue, tmp_path, monkeypatch) -> None:
    one = made(composed(*BASE), tmp_path, monkeypatch)
    sample = sampled(queue, {"u": (RIGHT, WRONG)})
    queue.rows["u_1_0"]["extra_fields"] = {"reward_extra_info": {"r_task": -1.0}}
    with pytest.raises(ValueError, match=r"rollout 'u_1_0' has reward -1.0: give the task reward in \[0, 1\]"):
        one._balance_batch(sample, {})


# ---- a batch without a usable prompt ---------------------------------------------------------------------------------


def step_over(one: DFTrainer, sample: KVBatchMeta) -> tuple[KVBatchMeta, dict]:
    """verl's `step` up to where it would compute log-probabilities."""
    one.prepare_step = dict
    one.on_sample_end = lambda: None
    one.replay_buffer = SimpleNamespace(sample=lambda **_: (sample, {"training/off_policy/evicted_samples": 0}))
    metrics: dict = {}
    return one.step(metrics, one.timing_raw), metrics


def test_a_batch_without_usable_prompt_is_skipped_and_cleared_by_verl(queue, tmp_path, monkeypatch) -> None:
    one = made(composed(*BASE), tmp_path, monkeypatch)
    sample = sampled(queue, {"u": (RIGHT, RIGHT), "v": (WRONG, WRONG)})
    batch, metrics = step_over(one, sample)
    assert metrics["df/skipped_steps"] == 1
    assert (metrics["df/skipped/all_correct"], metrics["df/skipped/no_correct"]) == (1, 1)
    assert one.timing_raw["df"] > 0

    one.resource_pool_manager = SimpleNamespace(get_n_gpus=lambda: 2)
    one._ledger = Ledger(tmp_path, 0)
    one.timing_raw["step"] = 1e3
    one._compute_metrics(batch, metrics, {"df": 1.5}, global_steps=4, epoch=2)
    (row,) = read_rows(tmp_path)  # it took its time all the same, and the repair model has three devices
    assert row.seconds.total == pytest.approx(1e3) and row.device_seconds.total == pytest.approx(5e3)
    assert metrics["ledger/device_seconds"] == pytest.approx(5e3)
    assert (metrics["training/global_step"], metrics["training/epoch"], metrics["timing_s/df"]) == (4, 2, 1.5)
    assert not [name for name in metrics if name.startswith("critic/")]
    # what verl's `fit` does next; it cannot clear a batch without keys
    queue.kv_clear(keys=batch.keys, partition_id=batch.partition_id)
    assert not queue.rows


def test_rollouts_of_a_skipped_step_can_still_be_dumped(queue, tmp_path, monkeypatch) -> None:
    one = made(composed(*BASE), tmp_path, monkeypatch)
    batch, _ = step_over(one, sampled(queue, {"u": (WRONG, WRONG)}))
    dumped: dict = {}
    one.tokenizer = SimpleNamespace(pad_token_id=0, decode=WORDS.decode)
    one._dump_generations = lambda **columns: dumped.update(columns)
    one._log_rollout_data(batch, {}, str(tmp_path))
    assert dumped["outputs"] == [WRONG, WRONG]


def test_repaired_rows_can_be_dumped(queue, tmp_path, monkeypatch) -> None:
    one = made(composed(*BASE), tmp_path, monkeypatch)
    batch = one._balance_batch(sampled(queue, {"u": (RIGHT, WRONG)}), {})
    dumped: dict = {}
    one.tokenizer = SimpleNamespace(pad_token_id=0, decode=WORDS.decode)
    one._dump_generations = lambda **columns: dumped.update(columns)
    one._log_rollout_data(batch, {}, str(tmp_path))
    assert dumped["outputs"][-2:] == [WRONG, RIGHT]  # a repair comes after its prompt's rollouts
    assert dumped["scores"][-2:] == [0.0, 1.0]


def test_a_step_with_work_is_not_counted_as_skipped(monkeypatch) -> None:
    one, metrics = DFTrainer(composed(*BASE)), {}
    batch = KVBatchMeta(keys=["u_0_0"], tags=[{}], partition_id="train")
    monkeypatch.setattr(PPOTrainerSync, "_step_once", lambda *_: batch)
    assert one._step_once(metrics, {}, 8) is batch
    assert metrics == {"df/skipped_steps": 0}
    monkeypatch.setattr(PPOTrainerSync, "_step_once", lambda *_: (_ for _ in ()).throw(_NothingToTrain(batch)))
    assert one._step_once(metrics, {}, 8) is batch
    assert metrics == {"df/skipped_steps": 1}


# ---- mini-batches ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overrides", "dp_size", "multiple"),
    [
        (("df.mini_batches=fixed",), 2, 4),  # 8 / 4 mini-batches, over 2 ranks
        (("df.mini_batches=fixed", "actor_rollout_ref.actor.ppo_mini_batch_size=8"), 2, 2),
        (("df.mini_batches=verl",), 2, 8),  # 4 prompts x 2 rollouts
        (("df.mini_batches=fixed", "df.group.mode=gate_only"), 2, 4),  # rows may leave: df.group.on_infeasible=drop
        (("df.mini_batches=fixed", "df.group.mode=gate_only", "critic.enable=True"), 2, 8),
        (("df.mini_batches=fixed", "df.group.mode=off"), 2, 8),
    ],
)
def test_rows_are_padded_to_whole_mini_batches(overrides: tuple, dp_size: int, multiple: int) -> None:
    one = DFTrainer(composed(*BASE, *overrides))
    one.global_steps, one._rows = 1, 12
    assert one._get_required_batch_multiple(dp_size) == multiple


def test_no_mini_batch_is_empty(queue, tmp_path, monkeypatch) -> None:
    """Three rows for four mini-batches: three steps. Five rows on two ranks: the empty rows are spread."""
    overrides = ("data.train_batch_size=8", "actor_rollout_ref.actor.ppo_mini_batch_size=2")
    one = made(composed(*BASE, *overrides, "df.group.on_infeasible=keep"), tmp_path, monkeypatch)
    batch = one._balance_batch(sampled(queue, {"u": (RIGHT, WRONG)}), {})
    assert (len(batch.keys), one._mini_batches) == (2, 2)

    two = made(composed(*BASE, *overrides), tmp_path, monkeypatch, dp_size=2, folder="two")
    batch = two._balance_batch(sampled(queue, {"v": (RIGHT, WRONG), "w": (WRONG, RIGHT, WRONG)}), {})
    assert (len(batch.keys), two._rows, two._mini_batches) == (8, 6, 4)
    real = [not tag.get("is_padding", False) for tag in batch.tags]
    assert all(real[mini] or real[4 + mini] for mini in range(4))


@pytest.mark.parametrize(("mode", "rows_per_mini_batch"), [("repair_pairs", 6), ("gate_only", 6), ("off", None)])
def test_the_number_of_mini_batches_stays_whatever_the_number_of_rows(
    mode: str, rows_per_mini_batch: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = DFTrainer(composed(*BASE, f"df.group.mode={mode}"))
    one._rows = 11  # and one that verl appended
    batch = KVBatchMeta(keys=[f"u_{place}_0" for place in range(12)], tags=[{}] * 12, partition_id="train")
    names = ("tokens", "ratio_sum", "log_ratio_sum", "clipped_sum")
    sums = {f"actor/df/{name}/{key}": 0.0 for name in ("repaired", "policy") for key in names}
    monkeypatch.setattr(PPOTrainerSync, "_update_actor", lambda _, batch, metrics: metrics.update(sums) or batch)
    metrics: dict = {}
    sent = one._update_actor(batch, metrics).extra_info
    assert sent.get(MINI_BATCH_ROWS) == rows_per_mini_batch
    assert sent.get(MEAN_ROWS) == (None if mode == "off" else 5.5)
    assert metrics == ({} if mode == "off" else {"df/mini_batches": 2})


# ---- controls beyond one group ---------------------------------------------------------------------------------------


def under_control(queue, tmp_path, monkeypatch, kind: str, *overrides: str, sizes: dict | None = None):
    """A step's batch under a control, its metrics, gates by key, and the pairs that were logged."""
    one = made(composed(*BASE, f"df.control.kind={kind}", *overrides), tmp_path, monkeypatch, folder=kind)
    metrics: dict = {}
    batch = one._balance_batch(sampled(queue, sizes or {"u": (RIGHT, WRONG), "v": (RIGHT, "so so so")}), metrics)
    gates = dict(zip(batch.keys, column(queue, batch.keys, GATE), strict=True))
    return one, batch, metrics, gates, {pair.key: pair for pair in PAIRS.read(tmp_path / kind / "pairs.jsonl")}


@pytest.mark.parametrize("mode", ["repair_pairs", "gate_only"])
def test_each_pair_gets_the_mask_of_the_other(queue, tmp_path, monkeypatch, mode: str) -> None:
    _, _, own, before, _ = under_control(queue, tmp_path, monkeypatch, "off", f"df.group.mode={mode}")
    *_, metrics, gates, pairs = under_control(queue, tmp_path, monkeypatch, "other_row", f"df.group.mode={mode}")
    # "two and two make five END" against "... four END", and "so so so END": 6 tokens and 4
    assert before["u_1_0"] == [0, 0, 0, 0, 1, 0] and before["v_1_0"] == [1, 1, 1, 0]
    assert gates["u_1_0"] == [1, 1, 1, 1, 1, 0] and gates["v_1_0"] == [0, 0, 0, 1]
    assert tuple(pairs["u_1_0"].error.gate) == (1, 1, 1, 1, 1, 0)
    assert tuple(pairs["u_1_0"].error.mask) == (0, 0, 0, 0, 1, 0)
    if mode == "repair_pairs":
        assert (before["u_1000001_0"], before["v_1000001_0"]) == ([0, 0, 0, 0, 1, 0], [1, 1, 1, 1, 1, 0])
        assert (gates["u_1000001_0"], gates["v_1000001_0"]) == ([1, 1, 1, 1, 1, 0], [0, 0, 0, 0, 1, 0])
    assert own["df/mask_density/error"] == pytest.approx((1 / 6 + 3 / 4) / 2)
    assert metrics["df/mask_density/error"] == pytest.approx((5 / 6 + 1 / 4) / 2)


def test_a_pair_that_is_alone_keeps_its_mask(queue, tmp_path, monkeypatch) -> None:
    *_, gates, _ = under_control(queue, tmp_path, monkeypatch, "other_row", sizes={"u": (RIGHT, WRONG)})
    assert gates["u_1_0"] == [0, 0, 0, 0, 1, 0]


@pytest.mark.parametrize("masked", [False, True])
def test_repairs_alone_are_imitated(queue, tmp_path, monkeypatch, masked: bool) -> None:
    kind = "imitate_repairs_masked" if masked else "imitate_repairs"
    one, batch, metrics, gates, _ = under_control(queue, tmp_path, monkeypatch, kind)
    assert sorted(key for key in batch.keys if key[0] in "uv") == ["u_1000001_0", "v_1000001_0"]
    assert (metrics["df/rows/error"], metrics["df/rows/repair"]) == (0, 2)
    assert set(queue.rows) == set(batch.keys)
    with_log_probs(queue, batch.keys)
    one._compute_advantage(batch, {})
    advantages = column(queue, ["u_1000001_0", "v_1000001_0"], "advantages")
    expected = [[0, 0, 0, 0, 1, 0], [1, 1, 1, 1, 1, 0]] if masked else [[1] * 6, [1] * 6]
    assert advantages == expected == [gates["u_1000001_0"], gates["v_1000001_0"]]


def test_right_rollouts_alone_are_imitated(queue, tmp_path, monkeypatch) -> None:
    sizes = {"u": (RIGHT, WRONG), "v": ("so so", WRONG), "w": (RIGHT, RIGHT)}
    config = composed(*BASE, "df.control.kind=imitate_right", "df.group.mode=gate_only", "df.group.weight=row")
    one, metrics = made(config, tmp_path, monkeypatch), {}
    batch = one._balance_batch(sampled(queue, sizes), metrics)
    assert sorted(key for key in batch.keys if key[0] in "uvw") == ["u_0_0", "w_0_0", "w_1_0"]
    assert (metrics["df/rows/error"], metrics["df/rows/correct"], metrics["df/candidates"]) == (0, 3, 0)
    with_log_probs(queue, batch.keys)
    one._compute_advantage(batch, {})
    assert column(queue, ["u_0_0", "w_1_0"], "advantages") == [[1] * 6] * 2


def test_a_step_without_a_row_to_imitate_is_skipped(queue, tmp_path, monkeypatch) -> None:
    config = composed(*BASE, "df.control.kind=imitate_right", "df.group.mode=gate_only")
    with pytest.raises(_NothingToTrain):
        made(config, tmp_path, monkeypatch)._balance_batch(sampled(queue, {"v": ("so so", WRONG)}), {})


# ---- shaped rewards --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["ibpo", "ibpo_shape_only", "ibpo_mask_only"])
def test_wrong_rollouts_that_can_be_mended_are_punished_less(queue, tmp_path, monkeypatch, method: str) -> None:
    """Of four rollouts one is mended and one is not: the fake repair model knows one right text only."""
    one, metrics = made(composed(*BASE, f"method={method}"), tmp_path, monkeypatch, folder=method), {}
    sizes = {"u": (RIGHT, WRONG, RIGHT), "v": ("so so", WRONG)}
    batch = one._balance_batch(sampled(queue, sizes), metrics)
    shaped = method != "ibpo_mask_only"
    assert metrics.get("df/shaped") == (1 if shaped else None)
    rewards = {key: sum(queue.rows[key]["rm_scores"].tolist()) for key in batch.keys if key[0] in "uv"}
    mended = pytest.approx(0.3 if shaped else 0.0)
    assert rewards == {"u_0_0": 1, "u_1_0": mended, "u_2_0": 1, "v_0_0": 0, "v_1_0": 0}
    assert column(queue, ["u_1_0"], GATE) == [[1] * 6 if method == "ibpo_shape_only" else [0, 0, 0, 0, 1, 0]]
    assert queue.rows["u_1_0"]["extra_fields"]["reward_extra_info"]["r_task"] == 0
    with_log_probs(queue, batch.keys)
    one._compute_advantage(batch, {})
    values = np.array([1.0, 0.3 if shaped else 0.0, 1.0])
    expected = (values[1] - values.mean()) / (values.std(ddof=1) + 1e-6)
    # every response of this prompt counts the same, and each prompt: groups of 3 and 2 rows
    assert column(queue, ["u_1_0"], "advantages")[0][4] == pytest.approx(expected * 2.5 / 3, rel=1e-4)


def test_without_a_strength_no_reward_is_touched(queue, tmp_path, monkeypatch) -> None:
    one = made(composed(*BASE, "method=ibpo", "df.shaping.strength=0"), tmp_path, monkeypatch)
    touched: list = []
    monkeypatch.setattr(trainer, "add_to_rewards", lambda *arguments: touched.append(arguments))
    metrics: dict = {}
    one._balance_batch(sampled(queue, {"u": (RIGHT, WRONG)}), metrics)
    assert not touched and "df/shaped" not in metrics


# ---- log-probabilities and advantages --------------------------------------------------------------------------------


def with_log_probs(queue: MemoryQueue, keys: list[str], **more: float) -> None:
    """What the actor's pass leaves in the queue."""
    made_rows = []
    for key in keys:
        length = len(queue.rows[key]["responses"])
        values = {"old_log_probs": -2.0, "entropy": 0.5} | more
        made_rows.append({name: torch.full((length,), value) for name, value in values.items()})
    queue.kv_batch_put(keys=keys, partition_id="train", fields=list_of_dict_to_tensordict(made_rows))


def test_repairs_take_the_policys_log_probabilities_for_the_engines(queue, tmp_path, monkeypatch) -> None:
    one = made(composed(*BASE), tmp_path, monkeypatch)
    batch = one._balance_batch(sampled(queue, {"u": (RIGHT, WRONG)}), {})
    with_log_probs(queue, batch.keys)
    metrics: dict = {}
    one._replace_rollout_log_probs(batch, metrics)
    assert queue.rows["u_1000001_0"]["rollout_log_probs"].tolist() == [-2.0] * 6
    assert queue.rows["u_1_0"]["rollout_log_probs"].tolist() == [-1.0] * 6
    # compared over the policy's own rows only: exp(-1) against exp(-2) on each of their tokens
    difference = torch.tensor(-1.0).exp() - torch.tensor(-2.0).exp()
    assert metrics["training/rollout_probs_diff_max"] == pytest.approx(float(difference), rel=1e-4)
    assert metrics["training/rollout_probs_diff_mean"] == pytest.approx(float(difference), rel=1e-4)


def test_the_blind_pass_leaves_the_responses_log_probabilities(queue, tmp_path, monkeypatch) -> None:
    """The worker answers for whole sequences, shifted by one token."""
    one = made(composed(*BASE, "df.weight.kind=vppo"), tmp_path, monkeypatch)
    batch = one._balance_batch(sampled(queue, {"u": (RIGHT, "so " + WRONG)}), {})
    images = SimpleNamespace(image_mean=[0.5, 0.25, 0.0], image_std=[0.5, 0.5, 1.0])
    one.processor = SimpleNamespace(image_processor=images)
    asked: list[Hiding] = []

    def compute_blind_log_prob(batch: KVBatchMeta) -> None:
        asked.append(batch.extra_info["df_hiding"])
        data_plane.write(
            batch, {key: {BLIND_LOG_PROBS: -queue.rows[key]["position_ids"].float()} for key in batch.keys}
        )

    one.actor_rollout_wg.compute_blind_log_prob = compute_blind_log_prob
    monkeypatch.setattr(PPOTrainerSync, "_compute_old_log_prob", lambda _, batch, metrics: batch)
    one.config.actor_rollout_ref.rollout.calculate_log_probs = False
    one._compute_old_log_prob(batch, {})
    assert batch.extra_info["temperature"] == 1.0
    assert asked == [Hiding(0.5, (-1.0, -0.5, 0.0), (0, 1))]
    for key, values in zip(batch.keys, column(queue, batch.keys, BLIND_LOG_PROBS), strict=True):
        assert values == [-2.0 - place for place in range(len(queue.rows[key]["responses"]))]
    assert "df_hiding" not in batch.extra_info and one.timing_raw["df_blind_log_prob"] > 0


class WordsShower:
    """Puts what is shown before the prompt's last word."""

    def place(self, prompt: Sequence[int]) -> int:
        return len(prompt) - 1

    def tokens(self, reference: str) -> list[int]:
        return list(WORDS.ids(reference)[:-1])


@pytest.mark.parametrize(
    ("overrides", "shown"),
    [
        # a right row is shown the other one, never itself; nothing is right in the second prompt
        ((), {"u_0_0": "four " + RIGHT, "u_1_0": RIGHT, "v_0_0": None, "v_1_0": None}),
        (("df.group.on_no_correct=annotated_answer",), {"u_0_0": "four " + RIGHT, "v_0_0": "four", "v_1_0": "four"}),
        (("df.group.reference=preferred",), {"u_0_0": "so so", "u_2_0": "so so", "v_1_0": "so so"}),
    ],
)
def test_the_pass_that_shows_a_right_response(queue, tmp_path, monkeypatch, overrides, shown) -> None:
    """The worker answers for whole sequences, whose prompts are longer, shifted by one token."""
    one = made(composed(*BASE, "df.weight.kind=rlsd", "df.group.mode=off", *overrides), tmp_path, monkeypatch)
    one._shower = WordsShower()
    sample = sampled(queue, {"u": (RIGHT, "four " + RIGHT, WRONG), "v": (WRONG, "so so")})
    for key in sample.keys:
        queue.rows[key]["extra_info"] = {"preferred_response": "so so"}
    batch, metrics = one._balance_batch(sample, {}), {}

    def compute_shown_log_prob(batch: KVBatchMeta) -> None:
        lengths = {key: len(queue.rows[key]["input_ids"]) + len(queue.rows[key][SHOWN]) - 1 for key in batch.keys}
        data_plane.write(batch, {key: {SHOWN_LOG_PROBS: -torch.arange(lengths[key]).float()} for key in batch.keys})

    one.actor_rollout_wg.compute_shown_log_prob = compute_shown_log_prob
    with_log_probs(queue, batch.keys)

    def old_log_prob(_: DFTrainer, batch: KVBatchMeta, metrics: dict) -> KVBatchMeta:
        assert all(SHOWN in queue.rows[key] for key in batch.keys)  # verl's batch names the columns of this moment
        return batch

    monkeypatch.setattr(PPOTrainerSync, "_compute_old_log_prob", old_log_prob)
    one.config.actor_rollout_ref.rollout.calculate_log_probs = False
    one._compute_old_log_prob(batch, metrics)
    for key, text in shown.items():
        place, *tokens = queue.rows[key][SHOWN].tolist()
        assert (place, tokens) == ((3, []) if text is None else (2, list(WORDS.ids(text)[:-1])))
        first = 2 + len(tokens)
        length = len(queue.rows[key]["responses"])
        expected = [-2.0] * length if text is None else [-float(first + place) for place in range(length)]
        assert queue.rows[key][SHOWN_LOG_PROBS].tolist() == expected
    assert metrics["df/weight/shown"] == (1 if overrides else 3 / 5) and one.timing_raw["df_shown_log_prob"] > 0
    padding = [key for key in batch.keys if key.startswith("pad")]
    assert padding and all(len(queue.rows[key][SHOWN]) == 1 for key in padding)
    one._compute_advantage(batch, metrics)
    assert metrics["df/weight/mean"] < 1 and metrics["df/weight/max"] <= 1.1 + 1e-6


def test_without_repairs_the_engines_log_probabilities_stay(queue, tmp_path, monkeypatch) -> None:
    one = made(composed(*BASE, "df.group.mode=gate_only"), tmp_path, monkeypatch)
    batch = one._balance_batch(sampled(queue, {"u": (RIGHT, WRONG)}), {})
    with_log_probs(queue, batch.keys)
    metrics: dict = {}
    one._replace_rollout_log_probs(batch, metrics)
    assert metrics == {}
    assert queue.rows["u_1_0"]["rollout_log_probs"].tolist() == [-1.0] * 6


def test_advantages_are_gated_through_verls_own_hook(queue, tmp_path, monkeypatch) -> None:
    one, metrics = made(composed(*BASE), tmp_path, monkeypatch), {}
    batch = one._balance_batch(sampled(queue, {"u": (RIGHT, WRONG)}), {})
    with_log_probs(queue, batch.keys)
    one._compute_advantage(batch, metrics)
    value = 0.5 / (0.5**0.5 + 1e-6)  # rewards 0 and 1: mean 1/2, standard deviation sqrt(1/2)
    error, repaired = column(queue, ["u_1_0", "u_1000001_0"], "advantages")
    assert error == pytest.approx([0, 0, 0, 0, -value, 0])
    assert repaired == pytest.approx([0, 0, 0, 0, value, 0])
    assert (metrics["df/repaired/old_log_prob"], metrics["df/policy/entropy"]) == (-2.0, 0.5)


def test_groups_are_logged_with_what_became_of_each_rollout(queue, tmp_path, monkeypatch) -> None:
    one = made(composed(*BASE), tmp_path, monkeypatch)
    batch = one._balance_batch(sampled(queue, {"right": (RIGHT, RIGHT), "u": (RIGHT, WRONG)}), {})
    first, second = GROUPS.read(tmp_path / GROUPS_FILE)
    assert (first.uid, first.skip, second.uid, second.skip) == ("u", None, "right", "all_correct")
    assert (first.reference, first.reference_kind, second.reference) == (first.rollouts[0].text, "sibling", None)
    used = {key for key in batch.keys if not key.startswith("pad")}
    for group in (first, second):
        assert [(one.key in used, repair_key(one.key) in used) for one in group.rollouts] == [
            (one.used, one.repair_used) for one in group.rollouts
        ]
    right, wrong = first.rollouts
    assert (right.reward, right.rejections, right.repair) == (1.0, None, None)
    assert wrong.used and wrong.repair_used and wrong.gated == pytest.approx(1 / 6, abs=1e-4)
    assert None in wrong.rejections and wrong.repair != wrong.text and wrong.repair_reward == 1.0
    assert not any(one.used for one in second.rollouts)


@pytest.mark.parametrize("limit", [0, 8])
def test_candidates_come_where_groups_are_logged(queue, tmp_path, monkeypatch, limit: int) -> None:
    one = made(composed(*BASE, f"df.log.groups_per_step={limit}"), tmp_path, monkeypatch)
    asked = []
    monkeypatch.setattr(one._group_log, "write", lambda step, rows, answers, tokenizer: asked.extend(answers))
    one._balance_batch(sampled(queue, {"right": (RIGHT, RIGHT), "u": (RIGHT, WRONG)}), {})
    came = [{key: [ids.tolist() for ids in found] for key, found in (one.candidates or {}).items()} for one in asked]
    expected = {"u_1_0": [list(WORDS.ids(RIGHT))] * one.df.repair.n} if limit else {}
    assert sorted(came, key=len) == [{}, expected]


def test_the_update_of_written_pairs_is_logged_by_token(queue, tmp_path, monkeypatch) -> None:
    overrides = (f"trainer.default_local_dir={tmp_path}", "df.log.token_arrays_per_step=1")
    one = made(composed(*BASE, *overrides), tmp_path, monkeypatch)
    batch = one._balance_batch(sampled(queue, {"u": (RIGHT, WRONG)}), {})
    with_log_probs(queue, batch.keys, ref_log_prob=-2.5)
    one._compute_advantage(batch, {})

    def update(_: DFTrainer, batch: KVBatchMeta, metrics: dict) -> KVBatchMeta:
        metrics |= {f"actor/df/{rows}/{key}": 0.0 for rows in ("repaired", "policy") for key in RATIO_SUMS}
        return batch

    monkeypatch.setattr(PPOTrainerSync, "_update_actor", update)
    length = 9  # as padded in its micro-batch
    seen = {
        "log_prob": np.linspace(-1, 0, length, dtype=np.float32),
        "ratio": np.full(length, np.inf, dtype=np.float32),
        "clipped": np.arange(length) == 2,
    }

    def take_row_updates() -> list[dict]:
        numbers = {key: int(queue.rows[key][LOGGED]) for key in batch.keys}
        assert numbers == {key: -1 if key == "u_0_0" else place for place, key in enumerate(batch.keys)}
        return [{numbers["u_1_0"]: seen}, {numbers["u_1000001_0"]: seen}]

    one.actor_rollout_wg.take_row_updates = take_row_updates
    one._update_actor(batch, {})
    (pair,) = PAIRS.read(tmp_path / "pairs.jsonl")
    (record,) = TOKEN_ARRAYS.read(tmp_path / "df" / TOKEN_ARRAYS_FILE)
    assert (record.step, record.key) == (pair.step, pair.key) == (1, "u_1_0")
    value = 0.5 / (0.5**0.5 + 1e-6)
    assert record.error.advantage == pytest.approx([-value] * 6, rel=1e-4)
    assert record.error.weight == (0, 0, 0, 0, 1, 0) == record.repair.weight
    assert record.error.gated_advantage == pytest.approx([0, 0, 0, 0, -value, 0], rel=1e-4)
    assert record.repair.gated_advantage == pytest.approx([0, 0, 0, 0, value, 0], rel=1e-4)
    assert record.error.rollout_log_prob == (-1.0,) * 6 and record.repair.rollout_log_prob is None
    assert record.error.log_prob == pytest.approx(seen["log_prob"][:6], rel=1e-4)
    assert record.error.ratio == (None,) * 6 and record.error.clipped == (0, 0, 1, 0, 0, 0)
    assert record.error.ref_kl == (0.5,) * 6 == record.error.entropy


def test_without_a_logged_pair_nothing_is_asked_of_the_workers(queue, tmp_path, monkeypatch) -> None:
    for override in ("df.log.token_arrays_per_step=0", "df.group.mode=off"):
        one = made(composed(*BASE, override), tmp_path, monkeypatch, folder=override)
        batch = one._balance_batch(sampled(queue, {"u": (RIGHT, WRONG)}), {})
        with_log_probs(queue, batch.keys)
        one._compute_advantage(batch, {})
        assert not one._token_log.wanted and not any(LOGGED in queue.rows[key] for key in batch.keys)


@pytest.mark.parametrize(
    ("base", "overrides"),
    [
        *((base, ()) for base in ESTIMATORS if base != "gae"),
        ("grpo", ("algorithm.norm_adv_by_std_in_grpo=False",)),
        ("reinforce_plus_plus", ("algorithm.gamma=0.9",)),
        ("gae", ("critic.enable=True", "algorithm.gamma=0.9", "algorithm.lam=0.95")),
    ],
)
@pytest.mark.parametrize("normalizer", ["response", "gated"])
def test_switched_off_the_advantages_are_those_of_verls_trainer(
    queue, tmp_path, monkeypatch, base, overrides, normalizer
) -> None:
    mine = (f"algorithm.adv_estimator={gated(base)}", "df.group.mode=off", f"df.gate.normalizer={normalizer}")
    one = made(composed(*BASE, *overrides, *mine), tmp_path, monkeypatch)
    batch = one._balance_batch(sampled(queue, TWO_PROMPTS), {})
    with_log_probs(queue, batch.keys, values=0.3)
    one._compute_advantage(batch, {})
    # verl's `gae` leaves values on its own empty rows, which no loss looks at
    keys = [key for key, tag in zip(batch.keys, batch.tags, strict=True) if not tag.get("is_padding", False)]
    ours = [column(queue, keys, name) for name in ("advantages", "returns")]

    theirs = ("trainer.v1.trainer_mode=sync", f"algorithm.adv_estimator={base}")
    stock = PPOTrainerSync(composed(*BASE, *overrides, *theirs))
    stock._compute_advantage(batch, {})
    assert [column(queue, keys, name) for name in ("advantages", "returns")] == ours
    assert any(any(values) for values in ours[0])


UNEQUAL = {"u": (RIGHT, WRONG), "v": (RIGHT, WRONG, "so so", "two two")}  # a pair, and three


@pytest.mark.parametrize(
    ("overrides", "factors"),
    [
        ((), (2.0, 2 / 3)),  # 4 rows a prompt in the mean, groups of 2 and 6
        (("df.group.weight=row",), (1.0, 1.0)),
        (("actor_rollout_ref.actor.loss_agg_mode=token-mean",), (1.0, 1.0)),
    ],
)
def test_prompts_weigh_the_same_under_a_mean_over_sequences(queue, tmp_path, monkeypatch, overrides, factors) -> None:
    one = made(composed(*BASE, *overrides), tmp_path, monkeypatch, dp_size=3)
    batch = one._balance_batch(sampled(queue, UNEQUAL), {})
    assert any(key.startswith("pad") for key in batch.keys)  # verl's padding rows count in no group
    with_log_probs(queue, batch.keys)
    one._compute_advantage(batch, {})
    of_pair, of_three = 0.5 / 0.5**0.5, 0.5 / 0.3**0.5  # rewards 0 and 1, half of each
    largest = [max(abs(value) for value in line) for line in column(queue, ["u_1_0", "v_1_0"], "advantages")]
    assert largest == pytest.approx([factors[0] * of_pair, factors[1] * of_three], rel=1e-4)


@pytest.mark.parametrize("kind", [kind for kind in WeightKind if kind is not WeightKind.OFF])
@pytest.mark.parametrize("mode", ["repair_pairs", "gate_only", "off"])
def test_weights_of_other_methods_multiply_the_advantages(queue, tmp_path, monkeypatch, kind, mode) -> None:
    def advantages(*overrides: str) -> list[list[float]]:
        config = composed(*BASE, f"df.group.mode={mode}", *overrides)
        one = made(config, tmp_path, monkeypatch, dp_size=3, folder=str(len(overrides)))
        batch = one._balance_batch(sampled(queue, UNEQUAL), {})
        further = {} if hidden_share(one.df.weight.kind) is None else {BLIND_LOG_PROBS: -3.0}
        further |= {SHOWN_LOG_PROBS: -2.1} if shows_a_response(one.df.weight.kind) else {}
        with_log_probs(queue, batch.keys, **further)
        one._compute_advantage(batch, {})
        return column(queue, batch.keys, "advantages")

    neutral_keys = [f"df.weight.{name}={value}" for name, value in METHODS[kind].neutral.items()]
    plain, neutral = advantages(), advantages(f"df.weight.kind={kind}", *neutral_keys)
    assert neutral == plain
    weighted = advantages(f"df.weight.kind={kind}")
    # all tokens of this batch are equally uncertain and see as much
    assert weighted != plain or kind in (WeightKind.ENTROPY, WeightKind.PGPO)


@pytest.mark.parametrize("coefficients", [(1, 0, 0), (0.5, 0, 0.5), (0, 1, 0)])
def test_deviations_of_prompts_that_are_as_difficult(queue, tmp_path, monkeypatch, coefficients) -> None:
    def advantages(*overrides: str) -> dict[str, list[float]]:
        config = composed(*BASE, "df.group.mode=off", "df.gate.normalizer=response", *overrides)
        one = made(config, tmp_path, monkeypatch, dp_size=3, folder=str(len(overrides)))
        batch, metrics = one._balance_batch(sampled(queue, UNEQUAL), {}), {}
        for key in batch.keys:
            queue.rows[key]["extra_info"] = {"index": 0, "visual_entropy": 2.0}
        with_log_probs(queue, batch.keys)
        one._compute_advantage(batch, metrics)
        assert ("df/durian/mean" in metrics) == bool(overrides and coefficients != (1, 0, 0))
        keys = [key for key in batch.keys if not key.startswith("pad")]
        return dict(zip(keys, column(queue, keys, "advantages"), strict=True))

    names = ("group", "perception", "reasoning")
    keys = [f"df.durian.{name}={value}" for name, value in zip(names, coefficients, strict=True)]
    plain, other = advantages(), advantages(*keys, "df.durian.buckets=1")
    if coefficients == (1, 0, 0):
        assert other == plain
        return
    # rewards 1, 0 and 1, 0, 0, 0: all in one bucket of perception, and of reasoning
    own = {"u": 0.5**0.5, "v": 0.5}
    pooled = np.std([1, 0, 1, 0, 0, 0], ddof=1)
    group, perception, reasoning = coefficients
    for key in ("u_0_0", "u_1_0", "v_0_0", "v_2_0"):
        factor = group + (perception + reasoning) * own[key[0]] / pooled
        assert other[key] == pytest.approx([factor * value for value in plain[key]], rel=1e-4)


@pytest.mark.parametrize("clamp", [False, True])
def test_errors_that_are_better_than_their_group_are_counted(queue, tmp_path, monkeypatch, clamp: bool) -> None:
    one, metrics = made(composed(*BASE, f"df.gate.clamp_errors={clamp}"), tmp_path, monkeypatch), {}
    batch = one._balance_batch(sampled(queue, {"u": (RIGHT, WRONG, "two " + WRONG)}), {})
    with_log_probs(queue, batch.keys)
    for key, reward in (("u_1_0", 0.9), ("u_2_0", -3.0)):  # as a reward shaped for length may have it
        queue.rows[key]["rm_scores"][-1] = reward
    one._compute_advantage(batch, metrics)
    better, worse = column(queue, ["u_1_0", "u_2_0"], "advantages")
    assert metrics["df/positive_errors"] == 1
    assert max(better) == 0 if clamp else max(better) > 0
    assert min(worse) < 0 and max(worse) <= 0


def test_gating_works_with_the_engines_log_probabilities(queue, tmp_path, monkeypatch) -> None:
    """Bypass mode: no pass of the policy's, so no entropy."""
    overrides = ("df.group.mode=gate_only", "algorithm.rollout_correction.bypass_mode=True")
    one, metrics = made(composed(*BASE, *overrides), tmp_path, monkeypatch), {}
    batch = one._balance_batch(sampled(queue, {"u": (RIGHT, WRONG)}), {})
    one._compute_old_log_prob(batch, metrics)
    one._compute_advantage(batch, metrics)
    assert metrics["df/policy/old_log_prob"] == -1.0
    assert column(queue, ["u_1_0"], "advantages")[0][:4] == [0, 0, 0, 0]


def test_the_answer_of_the_reward_workers_has_a_time_limit(queue, tmp_path, monkeypatch) -> None:
    one = made(composed(*BASE, "df.repair.timeout_s=30"), tmp_path, monkeypatch)
    limits = []
    monkeypatch.setattr(group_stream.ray, "get", lambda calls, timeout: limits.append(timeout) or calls)
    one._balance_batch(sampled(queue, {"u": (RIGHT, WRONG)}), {})
    assert limits == [60.0]


def test_repairs_that_take_too_long_name_the_key(queue, tmp_path, monkeypatch) -> None:
    one = made(composed(*BASE, "df.repair.timeout_s=30"), tmp_path, monkeypatch)

    def late(calls: list, timeout: float) -> list:
        raise GetTimeoutError("Get timed out")

    monkeypatch.setattr(group_stream.ray, "get", late)
    with pytest.raises(TimeoutError, match="of 1 prompts took longer than 60 s, twice df.repair.timeout_s: raise it"):
        one._balance_batch(sampled(queue, {"u": (RIGHT, WRONG)}), {})


def test_the_memory_queue_is_a_tensordict_like_the_real_one(queue) -> None:
    sampled(queue, {"u": (RIGHT, "so " + WRONG)})
    data = queue.kv_batch_get(keys=["u_0_0", "u_1_0"], partition_id="train", select_fields=["responses", "nothing"])
    assert isinstance(data, TensorDict)
    assert data["responses"].offsets().diff().tolist() == [6, 7]
