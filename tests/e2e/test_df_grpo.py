# SPDX-License-Identifier: Apache-2.0
"""The main job: DF-GRPO with real vLLM, what it trains on, what it leaves, and where the checkpoint can go."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText, AutoProcessor

from tests.e2e.conftest import STEPS, Run, merge
from verl_df.ledger.spent import read_rows
from verl_df.method.group_records import GROUPS, GROUPS_FILE
from verl_df.method.records import PAIRS
from verl_df.method.token_arrays import TOKEN_ARRAYS, TOKEN_ARRAYS_FILE


@pytest.fixture(scope="module")
def run(recorded: tuple[Run, Path]) -> Run:
    return recorded[0]


@pytest.fixture(scope="module")
def merged(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained policy as a Hugging Face folder, made by verl's own tool."""
    target = tmp_path_factory.mktemp("merged")
    merge(run.folder / f"checkpoints/global_step_{STEPS}/actor", target)
    return target


def test_groups_hold_wrong_rollouts_and_their_repairs(run: Run) -> None:
    assert len(run.series("df/rows/repair")) == STEPS
    assert sum(run.series("df/rows/repair")) > 0
    for step in range(1, STEPS + 1):
        values = run.metrics[step]
        assert values["df/rollouts"] == 64
        assert values["df/rows/repair"] == values["df/repaired"] <= values["df/asked"] <= values["df/erroneous"]
        # rollouts of skipped prompts left; wrong ones without a right repair stayed, unless alone in their group
        assert values["df/rows/repair"] <= values["df/rows/error"] <= values["df/asked"]
        assert values["df/error_rate"] == pytest.approx(values["df/erroneous"] / 64)


def test_gate_is_the_mask_and_repairs_are_right(run: Run) -> None:
    records = list(PAIRS.read(run.folder / "pairs.jsonl"))
    repaired = [record for record in records if record.repair is not None]
    assert len(repaired) == sum(run.series("df/repaired")) > 0
    assert len(records) == sum(run.series("df/asked"))
    for record in repaired:
        for side in (record.error, record.repair):
            assert list(side.gate) == [float(marked) for marked in side.mask]
        assert record.error.reward < 1 <= record.repair.reward
        assert record.error.token_ids != record.repair.token_ids
        assert any(record.error.mask) and any(record.repair.mask) and record.edit_distance >= 1
        assert all((run.folder / "images" / name).is_file() for name in record.images) and record.images
    for record in (record for record in records if record.repair is None):
        # df.group.on_infeasible=keep, and df.group.on_no_repair=sampled_group where nothing was repaired
        assert set(record.error.gate) == {1.0}


def test_the_update_of_logged_pairs_is_on_record_token_by_token(run: Run) -> None:
    pairs = {(record.step, record.key): record for record in PAIRS.read(run.folder / "pairs.jsonl")}
    arrays = list(TOKEN_ARRAYS.read(run.folder / TOKEN_ARRAYS_FILE))
    asked = [int(count) for count in run.series("df/asked")]
    assert [sum(one.step == step for one in arrays) for step in range(1, STEPS + 1)] == [min(4, n) for n in asked]
    trained = 0
    for one in arrays:
        record = pairs[one.step, one.key]
        for row, side in ((one.error, record.error), (one.repair, record.repair)):
            if row is None:
                continue
            trained += 1
            factor = max(row.weight)  # each prompt weighs the same, whatever the number of its rows
            assert row.weight == pytest.approx([factor * one for one in side.gate]) and set(row.trained) == {1}
            products = [a * w for a, w in zip(row.advantage, row.weight, strict=True)]
            assert row.gated_advantage == pytest.approx(products, rel=1e-4)  # of five digits each
            assert row.log_prob == pytest.approx(row.old_log_prob, abs=1e-3)  # one optimiser step per batch
            assert row.ratio == pytest.approx([1.0] * len(side.gate), abs=1e-3) and not any(row.clipped)
            assert min(row.entropy) >= 0 >= max(row.log_prob) and row.ref_kl is None
    assert trained > 0


def test_groups_on_record_are_those_of_the_step(run: Run) -> None:
    pairs = {(record.step, record.key): record for record in PAIRS.read(run.folder / "pairs.jsonl")}
    groups = list(GROUPS.read(run.folder / GROUPS_FILE))
    assert [sum(one.step == step for one in groups) for step in range(1, STEPS + 1)] == [8] * STEPS
    rollouts = {(group.step, one.key): one for group in groups for one in group.rollouts}
    assert len(rollouts) == 64 * STEPS
    assert {name for name, one in rollouts.items() if one.rejections is not None} == pairs.keys()
    assert sum(one.repair_used for one in rollouts.values()) == sum(run.series("df/rows/repair"))
    for name, record in pairs.items():
        assert rollouts[name].rejections == record.rejections
        assert (rollouts[name].repair is None) == (record.repair is None)
        texts = zip(rollouts[name].rejections, rollouts[name].candidates, strict=True)
        missing = [reason for reason, text in texts if text is None]  # the chosen one's text is the repair
        assert missing == ([] if record.repair is None else [None])


def test_the_ledger_says_where_each_second_of_a_step_went(run: Run) -> None:
    rows = read_rows(run.folder)
    assert [row.step for row in rows] == list(range(1, STEPS + 1))
    for row in rows:
        timed = run.metrics[row.step]
        saving = timed.get("timing_s/save_checkpoint", 0.0)
        assert row.seconds.total == pytest.approx(timed["timing_s/step"] - saving, abs=0.05)
        assert min(row.seconds.rollout, row.seconds.log_probs, row.seconds.update, row.seconds.weight_sync) > 0
        assert row.device_seconds.total == pytest.approx(row.seconds.total * row.devices)
        assert timed["ledger/device_seconds"] == pytest.approx(
            sum(one.device_seconds.total for one in rows if one.step <= row.step)
        )
    assert sum(row.seconds.repair for row in rows) > 0


def test_the_peak_memory_of_each_process_is_known_by_phase(run: Run) -> None:
    phases = {"rollout", "repair", "log_probs", "update", "save", "weight_sync"}
    kinds = {"trainer", "actor", "rollout_engine", "repair_engine", "agent_loop", "reward", "data_queue"}
    for row in read_rows(run.folder):
        values = run.metrics[row.step]
        assert {one.kind for one in row.memory} == kinds
        for one in row.memory:
            assert phases <= one.host.keys() <= {*phases, "validation"} and one.device == {}
            assert 0.03 < min(one.host.values()) <= max(one.host.values()) < 16  # GiB
        for kind in kinds:
            peak = sum(one.peak for one in row.memory if one.kind == kind)
            assert values[f"df/memory/{kind}"] == pytest.approx(peak)
            assert 0 < values[f"df/memory/{kind}/update"] <= peak + 1e-9
        assert values["df/memory/total"] == pytest.approx(sum(one.peak for one in row.memory))
        assert 0 < values["timing_s/df_memory"]
    # it trains there, and nothing of it is freed between
    assert run.series("df/memory/actor/update")[-1] > run.series("df/memory/reward/update")[-1]


def test_repaired_rows_are_trained_on_under_the_policy(run: Run) -> None:
    for step in (step for step in range(1, STEPS + 1) if run.metrics[step]["df/rows/repair"]):
        values = run.metrics[step]
        assert values["df/repaired/old_log_prob"] < 0 and values["df/repaired/entropy"] > 0
        # one optimiser step per batch: the ratio is the old log-probability against itself
        assert values["df/repaired/ratio"] == pytest.approx(1.0, abs=1e-4)
        assert values["actor/grad_norm"] > 0


def test_weight_sync_on_the_cpu(run: Run) -> None:
    """The rollout engine's probabilities follow the actor's through the updates.

    Without oneDNN's packing switched off the engine keeps its first weights, and the difference grows to percents.
    """
    assert run.series("training/rollout_probs_diff_max")[-1] < 1e-3
    assert run.series("training/rollout_actor_probs_pearson_corr")[-1] > 0.9999


def test_masks_are_scored_against_the_truth(run: Run) -> None:
    scores = run.series("df/mask_truth/precision") + run.series("df/mask_truth/recall")
    assert scores and all(0 <= score <= 1 for score in scores)


# Answers of a merged checkpoint in vLLM: test_round_trip.py.
def test_weights_changed_and_merged_checkpoint_loads_in_transformers(world: Path, merged: Path) -> None:
    before, after = load_file(world / "policy/model.safetensors"), load_file(merged / "model.safetensors")
    assert before.keys() == after.keys()
    assert any(not torch.equal(before[name], after[name].to(before[name].dtype)) for name in before)
    model = AutoModelForImageTextToText.from_pretrained(merged)
    assert sum(parameter.numel() for parameter in model.parameters()) == sum(value.numel() for value in before.values())
    assert AutoProcessor.from_pretrained(merged).tokenizer.eos_token == "<|im_end|>"
