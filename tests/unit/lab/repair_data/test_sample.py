# SPDX-License-Identifier: Apache-2.0
"""Sampling: what is kept, with which reference, what is dropped and counted, and runs that are killed and go on."""

import base64
import json
from collections import Counter
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.unit.lab.repair_data.support import (
    END,
    ScriptedPolicy,
    encode,
    make_set,
    picture,
    right,
    row,
    sample_into,
    settings,
    six_rows,
    usual,
    write_data,
    wrong,
)
from verl_df.lab.generation import Response
from verl_df.lab.repair_data.choose import judge_group, settle, solved_from_text
from verl_df.lab.repair_data.folder import SetFolder
from verl_df.lab.repair_data.records import read_samples, sample_id
from verl_df.lab.repair_data.sample import prepare
from verl_df.lab.repair_data.store import SampleStore
from verl_df.lab.repair_data.summary import summarise
from verl_df.lab.rl_data import Prompt, RLData

PROMPT = Prompt(
    7, "test/count", [{"role": "user", "content": "<image>q"}], (picture(1),), "7", {"preferred_response": "so 7"}
)


def response(text: str, finished: bool = True) -> Response:
    return Response((*encode(text), *([END] if finished else [])), text, finished)


def group(texts: list[str], rewards: list[float | None], index: int = 7, **changes):
    """Candidates and counts of a group of responses."""
    responses = [response(text, score is not None) for text, score in zip(texts, rewards, strict=True)]
    return judge_group(replace(PROMPT, index=index), responses, rewards, settings(**changes))


# ---- what is kept ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("texts", "rewards", "changes", "kept", "counts"),
    [
        (
            ["good", "bad", "worse", "cut"],
            [1.0, 0.0, 0.4, None],
            {},
            [(1, "bad", "good", "sibling"), (2, "worse", "good", "sibling")],
            {"right": 1, "wrong": 2, "truncated": 1},
        ),
        (  # equal wrong responses are kept once
            ["bad", "good", "bad", "bad"],
            [0.0, 1.0, 0.0, 0.0],
            {},
            [(0, "bad", "good", "sibling")],
            {"duplicate": 2},
        ),
        (["bad", "cut"], [0.0, None], {}, [], {"no_reference": 1}),
        (["bad", "cut"], [0.0, None], {"answer_fallback": True}, [(0, "bad", "7", "answer")], {"no_reference": 0}),
        (["bad", "good"], [0.0, 1.0], {"reference": "answer"}, [(0, "bad", "7", "answer")], {}),
        (["bad", "good"], [0.0, 1.0], {"reference": "preferred"}, [(0, "bad", "so 7", "preferred")], {}),
        (
            ["bad", "worse"],
            [0.0, 0.0],
            {"reference": "preferred"},
            [(0, "bad", "so 7", "preferred"), (1, "worse", "so 7", "preferred")],
            {"no_reference": 0},
        ),
    ],
)
def test_wrong_responses_are_kept_with_a_reference(texts, rewards, changes, kept, counts) -> None:
    candidates, count = group(texts, rewards, **changes)
    assert [(one.rollout, one.response.text, one.reference, one.kind) for one in candidates] == kept
    assert {name: getattr(count, name) for name in counts} == counts


@pytest.mark.parametrize(("share", "kinds"), [(0.0, {"sibling"}), (1.0, {"answer"}), (0.3, {"sibling", "answer"})])
def test_mixed_references_follow_the_share(share: float, kinds: set[str]) -> None:
    found = Counter(
        one.kind
        for index in range(300)
        for one in group(["bad", "good"], [0.0, 1.0], index, reference="mixed", answer_share=share)[0]
    )
    assert set(found) == kinds
    assert abs(found["answer"] / 300 - share) < 0.1


def test_the_sibling_is_drawn_uniformly() -> None:
    siblings = ["a", "b", "c"]
    found = Counter(
        one.reference for index in range(900) for one in group(["bad", *siblings], [0.0, 1.0, 1.0, 1.0], index)[0]
    )
    assert set(found) == set(siblings)
    assert all(abs(count - 300) < 70 for count in found.values())


@given(
    rewards=st.lists(st.sampled_from([1.0, 0.0, 0.5, None]), min_size=1, max_size=12),
    texts=st.lists(st.sampled_from("abcde"), min_size=12, max_size=12),
    fallback=st.booleans(),
    text_rewards=st.lists(st.sampled_from([0.0, 1.0]), max_size=4),
)
def test_every_response_is_counted_once(rewards, texts, fallback, text_rewards) -> None:
    found = group(texts[: len(rewards)], rewards, answer_fallback=fallback)
    samples, count = settle(PROMPT, *found, text_rewards, settings())
    assert count.right + count.wrong + count.truncated == len(rewards)
    assert count.duplicate + count.no_reference + count.dropped_by_text + count.kept == count.wrong
    assert len(samples) == count.kept == len({sample.id for sample in samples})
    for sample in samples:
        assert sample.response_ids == [*encode(sample.response), END]
        assert sample.reference_kind == "answer" or sample.reference in texts
    again = group(texts[: len(rewards)], rewards, answer_fallback=fallback)
    assert (samples, count) == settle(PROMPT, *again, text_rewards, settings())


@pytest.mark.parametrize(
    ("rewards", "threshold", "solved"),
    [
        ([], 0.5, False),
        ([1.0, 0.0], 0.5, True),
        ([1.0, 0.0, 0.0], 0.5, False),
        ([1.0, 0.0, 0.0], 0.01, True),
        ([0.9, 0.9], 0.5, False),
        ([1.0, 0.0], 1.0, False),
    ],
)
def test_solved_from_text_alone(rewards: list[float], threshold: float, solved: bool) -> None:
    assert solved_from_text(rewards, threshold) is solved


# ---- a whole run -----------------------------------------------------------------------------------------------------


def answers(index: int, without_image: bool) -> list[str]:
    """0: solved from text. 1: always right. 2: never right. 3: wrong or cut. 4, 5: as usual."""
    if without_image:
        return [right(index)] if index == 0 else [wrong(index), wrong(index, "thus") + "…"]
    special = {1: [right(1)], 2: [wrong(2)], 3: [wrong(3), right(3) + "…", right(3), wrong(3, "thus")]}
    return special.get(index) or usual(index, False)


def test_a_run_keeps_drops_and_counts(tmp_path: Path) -> None:
    folder = make_set(tmp_path, answers)
    samples = list(read_samples(folder.samples))
    assert Counter(sample.prompt_index for sample in samples) == {3: 2, 4: 2, 5: 2}
    assert {sample.reference for sample in samples if sample.prompt_index == 3} == {right(3)}
    assert json.loads(folder.summary.read_text()) == {
        "prompts": 6,
        "rollouts": 24,
        "right": 2 * 3 + 4 + 1,
        "wrong": 2 * 3 + 4 + 2,
        "truncated": 1,
        "duplicate": 3,
        "no_reference": 1,
        "dropped_by_text": 2,
        "kept": 6,
        "prompts_with_samples": 3,
        "text_filtered": 4,
        "prompts_dropped_by_text": 1,
        "text_right_share": 0.25,
    }
    first = samples[0]
    assert first.id == sample_id(3, 0, first.response_ids)
    assert first.extra_info == {"index": 3, "cells": [["a", "b"], ["c"]], "odd": "yes"}
    assert Image.open(folder.images / first.images[0]).getpixel((0, 0)) == (43, 90, 200)
    assert len(list(folder.images.iterdir())) == 3, "images of kept samples only, once each"


@pytest.mark.parametrize(("samples", "asked", "kept"), [(2, [0, 3, 4, 5], {3, 4, 5}), (0, [], {0, 3, 4, 5})])
def test_text_alone_is_asked_only_where_something_may_be_dropped(tmp_path: Path, samples, asked, kept) -> None:
    policy, folder = ScriptedPolicy(answers), SetFolder(tmp_path / "set")
    sample_into(folder, six_rows(tmp_path), policy, text_only_samples=samples)
    assert [index for rows, blank, _ in policy.calls if blank for index in rows] == asked
    assert {sample.prompt_index for sample in read_samples(folder.samples)} == kept


def test_rows_are_drawn_by_seed_and_a_larger_number_adds_to_them(tmp_path: Path) -> None:
    data = six_rows(tmp_path)
    assert data.choose(None, 0).tolist() == list(range(6))
    few, more = data.choose(2, 0).tolist(), data.choose(4, 0).tolist()
    assert set(few) < set(more) and more == sorted(more)
    assert len({tuple(data.choose(3, seed)) for seed in range(20)}) > 5
    policy = ScriptedPolicy(usual)
    for count in (2, 4):
        sample_into(SetFolder(tmp_path / "set"), data, policy, run={"prompts": count})
    asked = [index for rows, blank, _ in policy.calls if not blank for index in rows]
    assert sorted(asked) == sorted(more), "what is there is not sampled again"


def test_a_limit_stops_after_the_batch_that_reaches_it(tmp_path: Path) -> None:
    data, folder = six_rows(tmp_path), SetFolder(tmp_path / "set")
    for limit, kept in ((3, 4), (4, 4), (5, 8), (None, 12)):
        assert sample_into(folder, data, run={"limit": limit, "batch": 2 if limit else 9})["kept"] == kept


def test_batches_of_one_run_do_not_share_a_seed(tmp_path: Path) -> None:
    policy = ScriptedPolicy(usual)
    sample_into(SetFolder(tmp_path / "set"), six_rows(tmp_path), policy, run={"batch": 2})
    seeds = [seed for _, _, seed in policy.calls]
    assert len(set(seeds)) == len(seeds) == 6
    assert all(0 <= seed < 2**30 for seed in seeds)


# ---- killed and going on ---------------------------------------------------------------------------------------------


class Killed(RuntimeError):
    pass


class DyingPolicy(ScriptedPolicy):
    """Dies at its third call."""

    def generate(self, requests, **options):
        if len(self.calls) == 2:
            raise Killed
        return super().generate(requests, **options)


def files(folder: SetFolder) -> tuple[list[str], list[str], list[str]]:
    texts = [path.read_text().splitlines() for path in (folder.samples, folder.prompts)]
    return texts[0], texts[1], sorted(path.name for path in folder.images.iterdir())


@pytest.mark.parametrize("damage", ["none", "half sample", "samples of an unfinished prompt", "half count"])
def test_a_killed_run_goes_on_where_it_was(tmp_path: Path, damage: str) -> None:
    data, whole, folder = six_rows(tmp_path), SetFolder(tmp_path / "whole"), SetFolder(tmp_path / "set")
    sample_into(whole, data, run={"batch": 2})
    with pytest.raises(Killed):
        sample_into(folder, data, DyingPolicy(usual), run={"batch": 2})
    lines = files(whole)[0]
    assert files(folder)[0] == lines[:4]
    left = {
        "none": "",
        "half sample": lines[4][:100],
        "samples of an unfinished prompt": lines[4] + "\n" + lines[5][:70_000],
        "half count": f"{lines[4]}\n{lines[5]}\n",
    }
    with folder.samples.open("a") as file:
        file.write(left[damage])
    if damage == "half count":
        with folder.prompts.open("a") as file:
            file.write('{"prompt_index": 2, "right"')
    policy = ScriptedPolicy(usual)
    sample_into(folder, data, policy, run={"batch": 2})
    assert [index for rows, blank, _ in policy.calls if not blank for index in rows] == [2, 3, 4, 5]
    assert files(folder) == files(whole)
    assert json.loads(folder.summary.read_text()) == json.loads(whole.summary.read_text())


def test_a_long_half_line_is_cut(tmp_path: Path) -> None:
    folder = make_set(tmp_path)
    before = folder.samples.read_bytes()
    folder.samples.write_bytes(before + b'{"response": "' + b"x" * 200_000)
    SampleStore(folder)
    assert folder.samples.read_bytes() == before
    folder.prompts.write_bytes(b"x" * 100_000)
    folder.samples.write_bytes(b"")
    assert SampleStore(folder).counts == {}
    assert folder.prompts.read_bytes() == b""


def test_files_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    folder = make_set(tmp_path)
    lines = folder.samples.read_text().splitlines(keepends=True)
    folder.samples.write_text("".join(lines[1:]))
    with pytest.raises(ValueError, match="holds 11 samples .* says 12: the files do not belong together"):
        SampleStore(folder)
    folder.samples.write_text("".join(["{}\n", *lines]))
    with pytest.raises(ValueError, match="samples.jsonl, line 1: schema_version is None"):
        SampleStore(folder)


def test_other_settings_are_refused_and_named(tmp_path: Path) -> None:
    data = write_data(tmp_path / "train.parquet", [row(0)])
    folder = SetFolder(tmp_path / "set")
    prepare(folder, data, settings())
    prepare(folder, data, settings())
    with pytest.raises(ValueError) as refused:
        prepare(folder, data, settings(temperature=0.7, seed=4))
    assert "temperature 1.0 there, 0.7 now; seed 0 there, 4 now" in str(refused.value)
    folder.settings.write_text('{"model": "x"}')
    with pytest.raises(ValueError, match="settings.json: missing key 'data'; .*; sample into another folder"):
        prepare(folder, data, settings())


# ---- the data file ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": []}, "no image"),
        ({"images": [{"bytes": b"no image", "path": None}]}, "image 0: 8 bytes in no known image format"),
        ({"images": [{"bytes": None, "path": "gone.png"}]}, "write the path as a text"),
        ({"images": [{"bytes": None, "path": None}]}, "neither bytes nor path"),
        ({"prompt": [{"role": "user", "content": "<image><image>"}]}, "2 <image> markers for 1 images"),
        ({"prompt": [{"role": "assistant", "content": "<image>"}]}, "last message of a prompt must be the user's"),
        ({"prompt": []}, "prompt must be a list of messages"),
        ({"reward_model": {"style": "rule", "ground_truth": None}}, "ground_truth is missing"),
        ({"data_source": None}, "data_source is None"),
        ({"videos": ["film.mp4"]}, "the row has videos"),
    ],
)
def test_a_row_that_cannot_be_used_is_named_before_anything_is_sampled(tmp_path: Path, changes, message: str) -> None:
    data = write_data(tmp_path / "train.parquet", [row(0, **({"videos": []} if "videos" in changes else {})),
                                                   row(1, **changes)])  # fmt: skip
    policy = ScriptedPolicy(usual)
    with pytest.raises(ValueError, match=rf"train.parquet, row 1: .*{message}"):
        sample_into(SetFolder(tmp_path / "set"), data, policy, run={"batch": 1})
    assert policy.calls == []


def test_columns_are_checked_at_once(tmp_path: Path) -> None:
    path = tmp_path / "train.parquet"
    with pytest.raises(FileNotFoundError, match="no such file; give a parquet file"):
        RLData(path)
    path.write_text("no parquet")
    with pytest.raises(ValueError, match="no readable parquet file"):
        RLData(path)
    with pytest.raises(ValueError, match=r"no column 'reward_model' \(it has data_source"):
        write_data(path, [{key: value for key, value in row(0).items() if key != "reward_model"}])
    with pytest.raises(ValueError, match=r"extra_info.deep is of type binary, which JSON has not"):
        write_data(path, [row(0, extra_info={"deep": [b"bytes"]})])


def test_rows_keep_their_numbers_over_many_batches(tmp_path: Path) -> None:
    data = write_data(tmp_path / "train.parquet", [row(index) for index in range(100)])
    found = [(prompt.index, prompt.ground_truth) for prompt in data.prompts({0, 31, 32, 70, 99})]
    assert found == [(index, str(index)) for index in (0, 31, 32, 70, 99)]
    rows = [row(index) for index in range(95)] + [row(95, prompt=[])]
    with pytest.raises(ValueError, match="row 95: "):
        write_data(tmp_path / "train.parquet", rows).check({3, 95})


def url(index: int) -> str:
    return f"data:image/png;base64,{base64.b64encode(picture(index)).decode()}"


def test_images_by_path_and_of_other_formats_become_png(tmp_path: Path) -> None:
    (tmp_path / "one.jpg").write_bytes(picture(3, "JPEG"))
    data = write_data(tmp_path / "train.parquet", [row(0, images=[str(tmp_path / "one.jpg")]), row(1, images=[url(1)])])
    folder = SetFolder(tmp_path / "set")
    sample_into(folder, data)
    found = {sample.prompt_index: folder.images / sample.images[0] for sample in read_samples(folder.samples)}
    assert found[1].read_bytes() == picture(1)
    with Image.open(found[0]) as kept, Image.open(BytesIO(picture(3, "JPEG"))) as given:
        assert kept.format == "PNG"
        assert kept.tobytes() == given.tobytes()


# ---- records ---------------------------------------------------------------------------------------------------------


@given(st.integers(0, 10**6), st.integers(0, 64), st.lists(st.integers(0, 1000), max_size=5))
def test_ids_are_stable_and_tell_samples_apart(index: int, rollout: int, ids: list[int]) -> None:
    found = sample_id(index, rollout, ids)
    assert found == sample_id(index, rollout, tuple(ids))
    others = {
        sample_id(index + 1, rollout, ids),
        sample_id(index, rollout + 1, ids),
        sample_id(index, rollout, [*ids, 1]),
    }
    assert len(others) == 3 and found not in others


def test_the_counts_of_no_prompts() -> None:
    assert set(summarise([]).values()) == {0, None}
