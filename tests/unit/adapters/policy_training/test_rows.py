# SPDX-License-Identifier: Apache-2.0
"""Rows of TransferQueue: groups out, repaired rows and gates in; on a stand-in, and (marked e2e) on the real one."""

import copy
from collections.abc import Iterator
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf
from PIL import Image
from tensordict import TensorDict
from transfer_queue import KVBatchMeta
from verl.trainer.ppo import padding_utils
from verl.utils.tensordict_utils import list_of_dict_to_tensordict

from tests.unit.adapters.support import MemoryQueue
from verl_df.adapters import data_plane
from verl_df.adapters.policy_training.group_exchange import GroupAnswer, RepairRow
from verl_df.adapters.policy_training.row_fields import GATE, IS_REPAIR
from verl_df.adapters.policy_training.rows import (
    extend_position_ids,
    put_constant_gates,
    read_prompts,
    repair_key,
    repair_row,
    write_groups,
)
from verl_df.method.metrics import GroupOutcome
from verl_df.platform.video_positions import rope_index

END = 9
PROMPT = torch.tensor([5, 6, 6, 7])
PARTITION = "train"


def positions(axes: int, length: int) -> torch.Tensor:
    """Position ids as verl makes them: text positions, and with 4 axes three of M-RoPE that lag behind an image."""
    text = torch.arange(length)
    return text if axes == 1 else torch.stack([text] + [text - (text > 1).long()] * 3)


def source_row(uid: str, session: int, response: list[int], r_task: float, axes: int = 4) -> dict[str, Any]:
    """A rollout's row as verl's agent loop writes it."""
    responses = torch.tensor(response)
    scores = torch.zeros(len(response))
    scores[-1] = r_task
    content = [{"type": "image", "image": Image.new("RGB", (28, 28))}, {"type": "text", "text": "?"}]
    return {
        "uid": uid,
        "raw_prompt": [{"role": "user", "content": content}],
        "data_source": "test",
        "reward_model": {"style": "rule", "ground_truth": "4"},
        "extra_info": {"index": 3, "grid": [[1, 2]]},
        "index": 3,
        "session_id": session,
        "prompts": PROMPT.clone(),
        "responses": responses,
        "response_mask": torch.ones_like(responses),
        "loss_mask": torch.ones_like(responses),
        "input_ids": torch.cat([PROMPT, responses]),
        "position_ids": positions(axes, len(PROMPT) + len(response)),
        "rm_scores": scores,
        "rollout_log_probs": torch.full((len(response),), -0.5),
        "multi_modal_inputs": {"pixel_values": torch.ones(4, 6), "image_grid_thw": torch.tensor([[1, 2, 2]])},
        "num_turns": 2,
        "extra_fields": {"reward_extra_info": {"r_task": r_task, "score": r_task, "boxed": 1.0}, "turn_scores": []},
    }


def tag(response: list[int]) -> dict[str, Any]:
    lengths = {"prompt_len": 4, "response_len": len(response), "seq_len": 4 + len(response)}
    return {"status": "success", "global_steps": 2, "min_global_steps": 1, "max_global_steps": 1, **lengths}


def sampled(queue: Any, responses: dict[str, tuple[list[int], float]], axes: int = 4) -> KVBatchMeta:
    """Put rollouts (key -> response, r_task) into the queue; the batch as verl's replay buffer hands it on."""
    made = [
        source_row(key.rsplit("_", 2)[0], int(key.rsplit("_", 2)[1]), response, r_task, axes)
        for key, (response, r_task) in responses.items()
    ]
    tags = [tag(response) for response, _ in responses.values()]
    queue.kv_batch_put(keys=list(responses), partition_id=PARTITION, fields=list_of_dict_to_tensordict(made), tags=tags)
    return KVBatchMeta(keys=list(responses), tags=tags, partition_id=PARTITION, extra_info={"temperature": 0.7})


def repair(
    source: str, ids: list[int], gate: list[float], reward: float = 1.0, loss_mask: tuple[bool, ...] | None = None
) -> RepairRow:
    mask = np.array(loss_mask or [True] * len(ids))
    return RepairRow(source, np.array(ids), mask, np.array(gate, dtype=np.float32), 1.0, reward)


def answer(gates: dict[str, list[float]], *repairs: RepairRow) -> GroupAnswer:
    arrays = {key: np.array(gate, dtype=np.float32) for key, gate in gates.items()}
    return GroupAnswer(arrays, repairs, GroupOutcome(0, 0), ())


@pytest.fixture(scope="module")
def transfer_queue() -> Iterator[Any]:
    """The real TransferQueue in a Ray of its own."""
    ray, tq = import_module("ray"), import_module("transfer_queue")
    ray.init(num_cpus=2, include_dashboard=False, object_store_memory=80_000_000, log_to_driver=False)
    tq.init(OmegaConf.create({"backend": {"SimpleStorage": {"num_data_storage_units": 1}}}))
    yield tq
    tq.close()
    ray.shutdown()


@pytest.fixture(params=["memory", pytest.param("real", marks=[pytest.mark.e2e, pytest.mark.timeout(300)])])
def queue(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The queue behind `rows` and behind verl's padding: on a dict, or the real one."""
    if request.param == "real":
        real = request.getfixturevalue("transfer_queue")
        yield real
        left = real.kv_list().get(PARTITION, {})
        if left:
            real.kv_clear(keys=list(left), partition_id=PARTITION)
        return
    memory = MemoryQueue()
    monkeypatch.setattr(data_plane, "tq", memory)
    monkeypatch.setattr(padding_utils, "tq", memory)
    yield memory


def fetch(queue: Any, keys: list[str], *fields: str) -> TensorDict:
    return queue.kv_batch_get(keys=keys, partition_id=PARTITION, select_fields=list(fields) or None)


def column(queue: Any, keys: list[str], field: str) -> list[list]:
    return [row.tolist() for row in fetch(queue, keys, field)[field].unbind()]


# ---- out -------------------------------------------------------------------------------------------------------------

ROLLOUTS = {
    "u_0_0": ([1, 2, END], 1.0),
    "v_0_0": ([3, END], 1.0),
    "u_1_0": ([1, 3, 3, END], 0.0),
    "v_1_0": ([4, END], 1.0),
    "u_2_0": ([2, END], 0.5),
}


def test_rollouts_are_grouped_by_prompt_in_the_batchs_order(queue: Any) -> None:
    first, second = read_prompts(sampled(queue, ROLLOUTS))
    assert (first.uid, first.keys) == ("u", ("u_0_0", "u_1_0", "u_2_0"))
    assert (second.uid, second.keys) == ("v", ("v_0_0", "v_1_0"))
    assert [response.tolist() for response in first.responses] == [[1, 2, END], [1, 3, 3, END], [2, END]]
    assert [mask.tolist() for mask in first.response_masks] == [[1] * 3, [1] * 4, [1] * 2]
    assert first.task_rewards == (1.0, 0.0, 0.5)
    assert first.columns["reward_model"] == {"style": "rule", "ground_truth": "4"}
    assert first.columns["extra_info"]["grid"] == [[1, 2]]
    assert (first.columns["index"], first.columns["data_source"]) == (3, "test")
    content = list(first.columns["raw_prompt"])[0]["content"]
    assert [item["type"] for item in content] == ["image", "text"]
    assert content[0]["image"].size == (28, 28)


def test_rollouts_of_one_length_are_read_like_others(queue: Any) -> None:
    (prompt,) = read_prompts(sampled(queue, {"u_0_0": ([1, END], 1.0), "u_1_0": ([2, END], 0.0)}))
    assert [response.tolist() for response in prompt.responses] == [[1, END], [2, END]]


def test_several_outputs_of_a_session_are_refused(queue: Any) -> None:
    batch = KVBatchMeta(keys=["u_0_0", "u_0_1"], tags=[{}, {}], partition_id=PARTITION)
    with pytest.raises(NotImplementedError, match="DF groups take one output per rollout.*'u_0_1'"):
        read_prompts(batch)


def test_rollouts_of_another_reward_manager_are_refused(queue: Any) -> None:
    row = source_row("u", 0, [1, END], 1.0)
    row["extra_fields"] = {"reward_extra_info": {"acc": 1.0}}
    queue.kv_batch_put(
        keys=["u_0_0"], partition_id=PARTITION, fields=list_of_dict_to_tensordict([row]), tags=[tag([1, END])]
    )
    with pytest.raises(KeyError, match="no 'r_task' in its reward info .*'acc'.*set reward.reward_manager to DF's"):
        read_prompts(KVBatchMeta(keys=["u_0_0"], tags=[tag([1, END])], partition_id=PARTITION))


# ---- in --------------------------------------------------------------------------------------------------------------


def pair(reward: float = 1.0) -> GroupAnswer:
    """The optimised group of prompt u: one error with a gate, its repair, and an error without repair."""
    gates = {"u_1_0": [0, 1, 0.5, 0], "u_2_0": [1, 1]}
    return answer(gates, repair("u_1_0", [1, 2, END], [0, 1, 0], reward))


NOTHING = answer({})


@pytest.mark.parametrize("axes", [1, 4])
def test_groups_take_the_place_of_the_sampled_rows(queue: Any, axes: int) -> None:
    batch = write_groups(sampled(queue, ROLLOUTS, axes), [pair(reward=0.75), NOTHING])
    repaired = repair_key("u_1_0")
    assert batch.keys == ["u_1_0", "u_2_0", repaired]
    assert set(queue.kv_list()[PARTITION]) == set(batch.keys)  # rows that left the groups are gone
    assert [one["response_len"] for one in batch.tags] == [4, 2, 3]
    assert [one["seq_len"] for one in batch.tags] == [8, 6, 7]
    assert batch.tags == [queue.kv_list()[PARTITION][key] for key in batch.keys]
    assert (batch.extra_info, batch.partition_id, batch.fields) == ({"temperature": 0.7}, PARTITION, None)

    assert column(queue, batch.keys, GATE) == [[0, 1, 0.5, 0], [1, 1], [0, 1, 0]]
    assert column(queue, batch.keys, IS_REPAIR) == [[0], [0], [1]]
    assert column(queue, batch.keys, "responses") == [[1, 3, 3, END], [2, END], [1, 2, END]]
    assert column(queue, batch.keys, "rm_scores") == [[0.0] * 4, [0, 0.5], [0, 0, 0.75]]
    assert column(queue, batch.keys, "input_ids")[2] == [*PROMPT.tolist(), 1, 2, END]
    assert column(queue, batch.keys, "position_ids")[2] == positions(axes, 7).tolist()
    uids = fetch(queue, batch.keys, "uid")["uid"]
    assert list(uids.tolist() if hasattr(uids, "tolist") else uids) == ["u", "u", "u"]


def test_rows_of_a_group_stay_together(queue: Any) -> None:
    # mini-batches are cut in this order: errors must not come in one of them and their repairs in another
    pairs = [answer({f"{uid}_0_0": [1, 0]}, repair(f"{uid}_0_0", [1, END], [1, 0])) for uid in ("v", "u")]
    batch = write_groups(sampled(queue, {"u_0_0": ([2, END], 0.0), "v_0_0": ([2, END], 0.0)}), pairs)
    assert batch.keys == ["v_0_0", repair_key("v_0_0"), "u_0_0", repair_key("u_0_0")]
    assert column(queue, batch.keys, "responses") == [[2, END], [1, END]] * 2
    assert column(queue, batch.keys, IS_REPAIR) == [[0], [1]] * 2


def test_members_of_one_length_are_written_like_others(queue: Any) -> None:
    sample = {"u_0_0": ([1, END], 1.0), "u_1_0": ([2, END], 0.0)}
    group = answer({"u_1_0": [1, 0]}, repair("u_1_0", [1, END], [1, 0]))
    batch = write_groups(sampled(queue, sample), [group])
    data = fetch(queue, batch.keys, GATE, IS_REPAIR, "responses", "response_mask")
    assert data["responses"].offsets().diff().tolist() == [2, 2]  # verl asks each column for its offsets
    assert data.to_padded_tensor()[GATE].tolist() == [[1, 0], [1, 0]]
    assert column(queue, batch.keys, "position_ids") == [positions(4, 6).tolist()] * 2


def test_gate_only_adds_and_removes_no_row(queue: Any) -> None:
    sample = {key: ROLLOUTS[key] for key in ("u_0_0", "u_1_0")}
    group = answer({"u_1_0": [0, 1, 0, 0], "u_0_0": [1, 1, 1]})
    batch = write_groups(sampled(queue, sample), [group])
    assert set(batch.keys) == set(queue.kv_list()[PARTITION]) == set(sample)
    assert column(queue, ["u_0_0", "u_1_0"], GATE) == [[1, 1, 1], [0, 1, 0, 0]]


def test_with_every_prompt_skipped_nothing_is_left(queue: Any) -> None:
    batch = write_groups(sampled(queue, ROLLOUTS), [NOTHING, NOTHING])
    assert (batch.keys, batch.tags) == ([], [])
    assert not queue.kv_list().get(PARTITION)


def test_constant_gates_follow_the_tags(queue: Any) -> None:
    batch = sampled(queue, ROLLOUTS)
    put_constant_gates(batch, range(len(batch)), 1.0)
    assert column(queue, batch.keys, GATE) == [[1.0] * length for length in (3, 2, 4, 2, 2)]
    assert column(queue, batch.keys, IS_REPAIR) == [[0]] * 5
    put_constant_gates(batch, [1], 0.0)
    assert column(queue, batch.keys, GATE)[:2] == [[1.0] * 3, [0.0] * 2]
    put_constant_gates(batch, [], 0.0)  # no padding: nothing to write


def test_verls_padding_rows_get_a_gate_of_their_own_length(queue: Any) -> None:
    batch = write_groups(sampled(queue, ROLLOUTS), [pair(), NOTHING])
    padded = padding_utils.upsample_batch_to_divisible_size(batch, 4, END)
    assert [one.get("is_padding", False) for one in padded.tags] == [False] * 3 + [True]
    put_constant_gates(padded, [3], 0.0)
    data = fetch(queue, padded.keys, GATE, IS_REPAIR, "response_mask")
    assert data[GATE].offsets().diff().tolist() == data["response_mask"].offsets().diff().tolist() == [4, 2, 3, 1]
    assert column(queue, padded.keys, GATE)[3] == [0.0]
    assert column(queue, padded.keys, IS_REPAIR)[3] == [0]
    assert column(queue, padded.keys, "response_mask")[3] == [0]


# ---- keys and rows ---------------------------------------------------------------------------------------------------


@given(st.sets(st.tuples(st.text("abc-_1", min_size=1), st.integers(0, 999)), min_size=1))
def test_repair_keys_are_unique_and_read_by_verl_as_one_more_session(rollouts: set[tuple[str, int]]) -> None:
    keys = [f"{uid}_{session}_0" for uid, session in rollouts]
    repairs = [repair_key(key) for key in keys]
    assert len({*keys, *repairs}) == 2 * len(keys)
    for key, repair in zip(keys, repairs, strict=True):
        uid, session, index = repair.rsplit("_", 2)
        assert uid == key.rsplit("_", 2)[0]
        assert repair.split("_")[0] == key.split("_")[0]
        assert int(session) >= 1_000_000  # verl sorts by the numbers
        assert int(index) == 0


def test_a_repaired_row_keeps_the_prompt_and_replaces_the_response() -> None:
    source = source_row("u", 1, [1, 3, 3, END], 0.0)
    row = repair_row(source, repair("u_1_0", [1, 2, END], [0, 1, 0], 0.75))
    assert set(row) == set(source)
    changed = {"responses", "response_mask", "loss_mask", "input_ids", "position_ids", "rm_scores", "extra_fields"}
    changed |= {"rollout_log_probs"}
    tensors = {name for name, value in source.items() if isinstance(value, torch.Tensor)}
    assert all(torch.equal(row[name], source[name]) for name in tensors - changed)
    for name in ("uid", "data_source", "reward_model", "extra_info", "index", "num_turns"):
        assert row[name] == source[name]
    assert torch.equal(row["multi_modal_inputs"]["pixel_values"], source["multi_modal_inputs"]["pixel_values"])
    assert row["raw_prompt"][0]["content"][0]["image"] == source["raw_prompt"][0]["content"][0]["image"]

    per_token = ("responses", "response_mask", "loss_mask", "rm_scores", "rollout_log_probs")
    assert {name: len(row[name]) for name in per_token} == dict.fromkeys(per_token, 3)
    assert {name: row[name].dtype for name in per_token} == {name: source[name].dtype for name in per_token}
    assert len(row["input_ids"]) == row["position_ids"].shape[-1] == 7
    assert row["rm_scores"].tolist() == [0, 0, 0.75]  # the shaped reward trains
    assert row["extra_fields"]["reward_extra_info"] == {"r_task": 1.0}  # nothing of the wrong rollout's score stays
    assert row["rollout_log_probs"].tolist() == [0, 0, 0]  # never p_phi's, never the wrong rollout's


def test_observation_tokens_of_a_repaired_row_are_read_but_not_trained_on() -> None:
    source = source_row("u", 1, [1, 3, 3, END], 0.0)
    source |= {"attention_mask": torch.ones(8, dtype=torch.int64), "response_mask": torch.tensor([1, 0, 0, 1])}
    source["loss_mask"] = source["response_mask"].clone()
    kept = (True, True, False, False, True)
    row = repair_row(source, repair("u_1_0", [1, 2, 3, 3, END], [0, 1, 0, 0, 0], loss_mask=kept))
    assert row["response_mask"].tolist() == row["loss_mask"].tolist() == [1, 1, 0, 0, 1]
    assert row["response_mask"].dtype == row["loss_mask"].dtype == torch.int64
    assert row["attention_mask"].tolist() == [1] * 9
    assert row["rm_scores"].tolist() == [0, 0, 0, 0, 1]
    row["loss_mask"][0] = 7
    assert row["response_mask"].tolist() == [1, 1, 0, 0, 1]  # no memory in common


def test_a_repaired_row_copies_no_picture_and_changes_nothing_of_its_source() -> None:
    source = source_row("u", 1, [1, 3, END], 0.0)
    before = copy.deepcopy(source)
    row = repair_row(source, repair("u_1_0", [1, 2, END], [0, 1, 0]))
    assert row["multi_modal_inputs"] is source["multi_modal_inputs"] and row["raw_prompt"] is source["raw_prompt"]
    changed = {name for name, value in before.items() if isinstance(value, torch.Tensor | dict)}
    assert all(str(source[name]) == str(before[name]) for name in changed)


def test_columns_that_a_run_may_lack() -> None:
    source = source_row("u", 1, [1, 3, END], 0.0) | {"attention_mask": torch.ones(7, dtype=torch.int64)}
    del source["rollout_log_probs"]
    row = repair_row(source, repair("u_1_0", [1, END], [1, 0]))
    assert "rollout_log_probs" not in row
    assert row["attention_mask"].tolist() == [1] * 6


@pytest.mark.parametrize("name", ["mm_token_type_ids", "token_type_ids"])
def test_inputs_per_token_are_refused(name: str) -> None:
    source = source_row("u", 1, [1, 3, END], 0.0)
    source["multi_modal_inputs"][name] = torch.zeros(1, 7)
    with pytest.raises(NotImplementedError, match=rf"inputs per token \({name}\).*df.group.mode=gate_only"):
        repair_row(source, repair("u_1_0", [1, END], [1, 0]))


def test_a_repaired_row_of_a_clip_has_its_frames_and_its_times() -> None:
    """Its positions are those that verl would compute for the prompt with the repair."""
    config = SimpleNamespace(vision_config=SimpleNamespace(spatial_merge_size=2, tokens_per_second=2))
    grid, seconds, prompt = torch.tensor([[3, 4, 2]]), torch.tensor([1.5]), torch.tensor([5, *[6] * 6, 7])

    def counted(response: int) -> torch.Tensor:
        kinds = torch.tensor([[0, *[2] * 6, 0, *[0] * response]])
        text = torch.arange(kinds.shape[1])
        positions, _ = rope_index(config, torch.zeros_like(kinds), kinds, None, grid, seconds, None)
        return torch.cat([text[None], positions[:, 0]])

    source = source_row("a", 0, [1, 2, END], 0.0)
    clip = {"pixel_values_videos": torch.ones(24, 6), "video_grid_thw": grid, "second_per_grid_ts": seconds}
    ids = torch.cat([prompt, source["responses"]])
    source |= {"prompts": prompt, "input_ids": ids, "position_ids": counted(3), "multi_modal_inputs": clip}
    row = repair_row(source, repair("a_0_0", [1, 3, 4, 2, END], [0, 1, 1, 0, 0]))
    assert row["multi_modal_inputs"] is clip
    assert torch.equal(row["position_ids"], counted(5))


# ---- position ids ----------------------------------------------------------------------------------------------------


@given(st.integers(1, 8), st.integers(0, 8), st.integers(0, 8), st.sampled_from([1, 3, 4]), st.data())
def test_positions_go_on_from_the_prompt_as_verl_counts_them(
    prompt: int, before: int, after: int, axes: int, data: st.DataObject
) -> None:
    starts = torch.tensor(data.draw(st.lists(st.integers(0, 50), min_size=axes * prompt, max_size=axes * prompt)))
    of_prompt = starts.view(axes, prompt) if axes > 1 else starts

    def counted(length: int) -> torch.Tensor:
        steps = torch.arange(1, length + 1)
        return torch.cat([of_prompt, of_prompt[..., -1:] + steps], dim=-1)

    extended = extend_position_ids(counted(before), prompt, prompt + after)
    assert torch.equal(extended, counted(after))
    assert extended.dtype == torch.int64


@pytest.mark.parametrize("axes", [1, 4])
def test_other_positions_are_refused(axes: int) -> None:
    odd = positions(axes, 8).clone()
    odd[..., 6:] += 1  # a response that leaves out a position
    with pytest.raises(ValueError, match="do not count up by one"):
        extend_position_ids(odd, 4, 6)
