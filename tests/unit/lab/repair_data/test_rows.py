# SPDX-License-Identifier: Apache-2.0
"""verl's parquet files: what the rows hold, and a split that no prompt is on both sides of."""

from dataclasses import replace
from pathlib import Path

import datasets
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.lab.repair_data.support import make_set, picture, right, row, sample_into, write_data
from verl_df.lab.eval.repairs.tasks import read_tasks
from verl_df.lab.repair_data.folder import SetFolder
from verl_df.lab.repair_data.records import RepairSample, read_samples
from verl_df.lab.repair_data.rows import (
    SFT_SCHEMA,
    held_out_prompts,
    prompt_key,
    sft_row,
    task_row,
    task_schema,
    write_rows,
)
from verl_df.lab.rl_data import RLData
from verl_df.prompts import render_repair


def write_tasks(folder: SetFolder, path: Path) -> None:
    write_rows(path, task_schema(folder), (task_row(one, folder.images) for one in read_samples(folder.samples)))


def test_repair_tasks_hold_the_policys_row_and_the_task(tmp_path: Path) -> None:
    folder, path = make_set(tmp_path), tmp_path / "tasks.parquet"
    write_tasks(folder, path)
    samples = list(read_samples(folder.samples))
    loaded = datasets.load_dataset("parquet", data_files=str(path), cache_dir=str(tmp_path / "cache"))["train"]
    assert len(loaded) == len(samples) == 12
    for found, sample in zip(loaded, samples, strict=True):
        source = row(sample.prompt_index)
        for name in ("data_source", "prompt", "images", "reward_model", "extra_info"):
            assert found[name] == source[name]
        assert found["repair_task"] == {
            "response": sample.response,
            "response_ids": sample.response_ids,
            "reference": sample.reference,
            "reference_kind": "sibling",
        }
    tasks = read_tasks(path).tasks
    assert [task.record.response_ids for task in tasks] == [tuple(sample.response_ids) for sample in samples]


def test_sft_rows_hold_the_one_repair_prompt_and_the_target(tmp_path: Path) -> None:
    folder, path = make_set(tmp_path), tmp_path / "sft.parquet"
    sample = replace(next(read_samples(folder.samples)), target=right(0))
    templates = (None, "{question}|{response}|{reference}")
    assert write_rows(path, SFT_SCHEMA, (sft_row(sample, folder.images, template) for template in templates)) == 2
    # as verl's SFT dataset reads it
    frame = pd.read_parquet(path, dtype_backend="pyarrow")
    first, second = (list(messages) for messages in frame["messages"])
    asked = render_repair("<image>how many, 0?", sample.response, sample.reference)
    assert first == [{"role": "user", "content": asked}, {"role": "assistant", "content": right(0)}]
    assert second[0]["content"] == f"<image>how many, 0?|{sample.response}|{sample.reference}"
    assert list(frame["images"][0]) == [{"bytes": picture(0), "path": None}]
    with pytest.raises(ValueError, match="has no target"):
        sft_row(replace(sample, target=None), folder.images, None)


def test_earlier_messages_of_the_prompt_stay(tmp_path: Path) -> None:
    folder = make_set(tmp_path)
    sample = replace(next(read_samples(folder.samples)), target=right(0))
    system = {"role": "system", "content": "be brief", "name": None}
    messages = sft_row(replace(sample, prompt=[system, *sample.prompt]), folder.images, None)["messages"]
    assert [message["role"] for message in messages] == ["system", "user", "assistant"]
    assert messages[0] == {"role": "system", "content": "be brief"}


def test_extra_info_of_differing_shape_survives(tmp_path: Path) -> None:
    infos = [
        {"index": 0, "odd": None, "deep": {"x": [1.5, None], "name": "a"}},
        {"index": 1, "grid": [["p"], []]},
        {"deep": {"x": [], "name": None}, "late": True},
        None,
    ]
    rows = [row(index, extra_info=info) for index, info in enumerate(infos)]
    data, folder = write_data(tmp_path / "in.parquet", rows), SetFolder(tmp_path / "set")
    path = tmp_path / "out.parquet"
    sample_into(folder, data)
    write_tasks(folder, path)
    before = {one["prompt"][0]["content"]: one["extra_info"] for one in pq.read_table(data.path).to_pylist()}
    empty = dict.fromkeys(before[rows[0]["prompt"][0]["content"]])
    for found in pq.read_table(path).to_pylist():
        assert found["extra_info"] == (before[found["prompt"][0]["content"]] or empty)
    assert pq.read_schema(path).field("extra_info").type == pq.read_schema(data.path).field("extra_info").type


def test_rows_without_extra_info_and_answers_of_another_type(tmp_path: Path) -> None:
    rows = [
        {key: value for key, value in row(index, reward_model={"ground_truth": [index]}).items() if key != "extra_info"}
        for index in range(2)
    ]

    class OtherReward:
        def score(self, answers):
            return [float(f"{{{answer.ground_truth[0]}}}" in answer.text) for answer in answers]

    data, folder = write_data(tmp_path / "in.parquet", rows), SetFolder(tmp_path / "set")
    path = tmp_path / "out.parquet"
    sample_into(folder, data, reward=OtherReward())
    write_tasks(folder, path)
    found = pq.read_table(path).to_pylist()
    assert [one["reward_model"] for one in found] == [{"style": "rule", "ground_truth": [k]} for k in (0, 0, 1, 1)]
    assert "extra_info" not in found[0]


def test_rows_are_written_in_groups(tmp_path: Path) -> None:
    folder, path = make_set(tmp_path, rows=40), tmp_path / "tasks.parquet"
    write_tasks(folder, path)
    groups = pq.ParquetFile(path).metadata
    assert groups.num_rows == 80 and [groups.row_group(k).num_rows for k in range(groups.num_row_groups)] == [64, 16]


# ---- the split -------------------------------------------------------------------------------------------------------


def sample_of(prompt: int, rollout: int) -> RepairSample:
    """Rows 10 and 11 hold the same prompt."""
    text = min(prompt, 10)
    content = [{"role": "user", "content": f"<image>{text}"}]
    return RepairSample(f"{prompt}-{rollout}", prompt, "d", content, ["a.png"], "1", {}, "y", [1], "a", "sibling")


@given(
    pairs=st.lists(st.tuples(st.integers(0, 11), st.integers(0, 3)), min_size=1, max_size=40, unique=True),
    share=st.floats(0.01, 0.99),
    seed=st.integers(0, 5),
    data=st.data(),
)
def test_no_prompt_is_on_both_sides(pairs, share: float, seed: int, data) -> None:
    samples = [sample_of(*pair) for pair in pairs]
    prompts = {prompt_key(sample) for sample in samples}
    assert len(prompts) == len({min(prompt, 10) for prompt, _ in pairs})
    if len(prompts) < 2:
        with pytest.raises(ValueError, match="at least 2 are needed"):
            held_out_prompts(samples, share, seed)
        return
    held = held_out_prompts(samples, share, seed)
    assert held < prompts and held
    assert abs(len(held) - share * len(prompts)) <= 1
    assert held == held_out_prompts(data.draw(st.permutations(samples)), share, seed)


def test_the_split_depends_on_the_seed() -> None:
    samples = [sample_of(prompt, 0) for prompt in range(10)]
    assert len({held_out_prompts(samples, 0.5, seed) for seed in range(20)}) > 10


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, 1.5])
def test_a_share_outside_its_range(share: float) -> None:
    with pytest.raises(ValueError, match="a share of the prompts, more than 0 and less than 1"):
        held_out_prompts([sample_of(0, 0), sample_of(1, 0)], share, 0)


# ---- memory ----------------------------------------------------------------------------------------------------------


def test_the_data_are_not_held_in_memory(tmp_path: Path) -> None:
    """One row group of 40 MB in 4000 rows: a writer's pages hold 1024 rows, and no more than some of them are read."""
    image, path = [{"bytes": picture(0) + bytes(10_000), "path": None}], tmp_path / "big.parquet"
    rows = pa.Table.from_pylist([row(index, images=image) for index in range(4000)])
    pq.write_table(rows, path, compression="none", use_dictionary=False)
    size = rows.nbytes
    del rows
    data, pool = RLData(path), pa.default_memory_pool()
    start, highest = pool.bytes_allocated(), 0
    for prompt in data.prompts(set(range(4000))):
        assert len(prompt.images[0]) > 10_000
        highest = max(highest, pool.bytes_allocated() - start)
    assert size > 40_000_000 and highest < 25_000_000
