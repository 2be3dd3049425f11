# SPDX-License-Identifier: Apache-2.0
"""The pairs that a run writes, and the metrics of repaired rows."""

from collections.abc import Iterable
from dataclasses import replace
from errno import ENOSPC
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tensordict import TensorDict

from tests.unit.adapters.support import Words, composed
from verl_df.adapters.policy_training.group_exchange import GroupAnswer, GroupRow
from verl_df.adapters.policy_training.group_log import GroupLog
from verl_df.adapters.policy_training.pair_log import PAIRS_FILE, PairLog
from verl_df.adapters.policy_training.row_fields import GATE, IS_REPAIR
from verl_df.adapters.policy_training.row_metrics import log_prob_metrics, ratio_metrics
from verl_df.adapters.policy_training.token_log import TokenLog
from verl_df.adapters.prompt_content import FRAMES_SHOWN, IMAGES_FOLDER, media_items, pictures, prompt_text
from verl_df.io.lock import InUse
from verl_df.method.feedback import GroupRequest, GroupResult, RepairAttempt
from verl_df.method.group import Rollout, SkipReason
from verl_df.method.group_records import CUT, GROUPS, GROUPS_FILE, LOGGED_TOKENS
from verl_df.method.metrics import GroupOutcome
from verl_df.method.records import PAIRS
from verl_df.method.repair import Rejection
from verl_df.method.token_arrays import TOKEN_ARRAYS, TOKEN_ARRAYS_FILE, TokenArrays, UpdateSide, rounded
from verl_df.settings.config import load_df_config

# ---- pairs -----------------------------------------------------------------------------------------------------------


WORDS = Words(["0", "1", "2", "3", "4", "5"])


def groups(*counts: int, prompts: dict[str, list[dict]] | None = None) -> tuple[list[GroupRow], list[GroupAnswer]]:
    """One group per count, with so many wrong rollouts that no repair was found for; uids are a, b, c, ..."""
    rows, answers = [], []
    for uid, count in zip("abcdef", counts, strict=False):
        rollouts = tuple(Rollout(f"{uid}_{number}_0", (number + 1,), 0.0, (True,), True) for number in range(count))
        rows.append(GroupRow(GroupRequest(uid, rollouts, "4", "s"), {"raw_prompt": (prompts or PROMPTS)[uid]}))
        gate = np.ones(1, dtype=np.float32)
        attempts = [
            RepairAttempt(rollout.key, "answer", None, gate > 1, gate, None, None, None, None, (Rejection.WRONG,))
            for rollout in rollouts
        ]
        answers.append(GroupAnswer({}, (), GroupOutcome(0, 0), tuple(attempts)))
    return rows, answers


def picture(colour: str) -> Image.Image:
    return Image.new("RGB", (56, 56), colour)


def messages(*pictures: Image.Image | str) -> list[dict]:
    return [{"role": "user", "content": [*({"type": "image", "image": one} for one in pictures), text("How many?")]}]


def text(value: str) -> dict:
    return {"type": "text", "text": value}


PROMPTS: dict[str, list[dict]] = {uid: messages(picture("red")) for uid in "abcdef"}


def written(folder: Path) -> list[tuple[str, int]]:
    return [(pair.uid, int(pair.error.tokens[0])) for pair in PAIRS.read(folder / PAIRS_FILE)]


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (4, [("a", 0), ("b", 0), ("c", 0), ("a", 1)]),
        (2, [("a", 0), ("b", 0)]),
        (100, [("a", 0), ("b", 0), ("c", 0), ("a", 1), ("c", 1), ("a", 2)]),
        (-1, [("a", 0), ("b", 0), ("c", 0), ("a", 1), ("c", 1), ("a", 2)]),
    ],
)
def test_pairs_come_from_all_prompts_in_turn(tmp_path: Path, limit: int, expected: list) -> None:
    PairLog(tmp_path, limit).write(1, *groups(3, 1, 2), WORDS)
    assert written(tmp_path) == expected


@given(st.lists(st.integers(0, 5), max_size=6), st.integers(0, 12))
def test_the_share_of_prompts_is_even(tmp_path_factory: pytest.TempPathFactory, counts: list[int], limit: int) -> None:
    folder = tmp_path_factory.mktemp("pairs")
    PairLog(folder, limit).write(1, *groups(*counts, prompts={uid: [] for uid in "abcdef"}), WORDS)
    pairs = written(folder) if limit and any(counts) else []
    assert len(pairs) == min(limit, sum(counts))
    shares = [sum(uid == name for name, _ in pairs) for uid in "abcdef"[: len(counts)]]
    unfinished = [share for share, count in zip(shares, counts, strict=True) if share < count]
    assert not unfinished or max(shares) - min(unfinished) <= 1


@pytest.mark.parametrize(("limit", "count"), [(0, 3), (5, 0)])
def test_nothing_is_made_before_the_first_pair(tmp_path: Path, limit: int, count: int) -> None:
    PairLog(tmp_path / "df", limit).write(1, *groups(count), WORDS)
    assert not (tmp_path / "df").exists()


def test_steps_are_appended_and_each_picture_is_saved_once(tmp_path: Path) -> None:
    log = PairLog(tmp_path, -1)
    prompts = {"a": messages(picture("red"), picture("blue")), "b": messages(picture("blue"))}
    log.write(1, *groups(2, 1, prompts=prompts), WORDS)
    log.write(2, *groups(1, prompts=prompts), WORDS)
    pairs = list(PAIRS.read(tmp_path / PAIRS_FILE))
    files = sorted(path.name for path in (tmp_path / IMAGES_FOLDER).iterdir())
    assert len(pairs) == 4 and len(files) == 2
    assert [len(pair.images) for pair in pairs] == [2, 1, 2, 2]
    red, blue = pairs[0].images
    assert {red, blue} == set(files)
    assert pairs[1].images == (blue,)
    assert Image.open(tmp_path / IMAGES_FOLDER / red).getpixel((0, 0)) == (255, 0, 0)


def test_pictures_on_disk_are_copied(tmp_path: Path) -> None:
    stream = BytesIO()
    picture("green").save(stream, format="PNG")
    (tmp_path / "p.png").write_bytes(stream.getvalue())
    PairLog(tmp_path / "df", 1).write(1, *groups(1, prompts={"a": messages(str(tmp_path / "p.png"))}), WORDS)
    (pair,) = PAIRS.read(tmp_path / "df" / PAIRS_FILE)
    assert (tmp_path / "df" / IMAGES_FOLDER / pair.images[0]).is_file()


def test_where_a_run_keeps_its_pairs(tmp_path: Path) -> None:
    for override, folder in ((f"df.log.dir={tmp_path}/pairs", "pairs"), ("df.log.dir=null", "run/df")):
        config = composed(f"trainer.default_local_dir={tmp_path}/run", override, "df.log.pairs_per_step=1")
        PairLog.from_config(config, load_df_config(config.df)).write(1, *groups(2), WORDS)
        assert written(tmp_path / folder) == [("a", 0)]


def test_a_prompt_as_text() -> None:
    prompt = [{"role": "system", "content": "Be brief."}, *messages(picture("red"))]
    assert prompt_text(prompt) == "Be brief.\n<image>How many?"
    assert prompt_text([{"role": "user", "content": [{"type": "video", "video": "v"}, text("?")]}]) == "<video>?"
    assert [item["type"] for item in media_items(prompt)] == ["image"]


def test_a_video_is_saved_as_a_sheet_of_frames(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (56, 56), (5 * number, 0, 0)) for number in range(40)]
    item = {"type": "video", "video": frames, "min_pixels": 56 * 56}
    prompt = [{"role": "user", "content": [item, {"type": "image", "image": picture("red")}, text("How many?")]}]
    assert len(pictures(prompt)) == FRAMES_SHOWN + 1
    PairLog(tmp_path, 1).write(1, *groups(1, prompts={"a": prompt}), WORDS)
    (pair,) = PAIRS.read(tmp_path / PAIRS_FILE)
    assert pair.prompt == "<video><image>How many?"
    sheet, _ = (Image.open(tmp_path / IMAGES_FOLDER / name) for name in pair.images)
    reds = [sheet.getpixel((60 * column, 60 * line))[0] for line in range(4) for column in range(4)]
    assert sheet.size == (4 * 56 + 3 * 4, 4 * 56 + 3 * 4) and sheet.getpixel((57, 57)) == (255, 255, 255)
    assert reds == sorted(reds) and (reds[0], reds[-1]) == (0, 5 * 39)


# ---- metrics ---------------------------------------------------------------------------------------------------------


def padded(**columns: list) -> TensorDict:
    tensors = {name: torch.tensor(values) for name, values in columns.items()}
    return TensorDict(tensors, batch_size=2)


# Row 0 is the policy's (3 tokens), row 1 a repair (2 tokens and one of padding).
ROWS = {
    "response_mask": [[1, 1, 1], [1, 1, 0]],
    "old_log_probs": [[-1.0, -2.0, -3.0], [-4.0, -6.0, 99.0]],
    "entropy": [[0.1, 0.2, 0.3], [0.4, 0.6, 99.0]],
    GATE: [[0.0, 1.0, 0.5], [0.0, 1.0, 1.0]],
    IS_REPAIR: [[0], [1]],
}


def test_means_over_tokens_by_hand() -> None:
    assert log_prob_metrics(padded(**ROWS)) == pytest.approx(
        {
            "df/policy/old_log_prob": -2.0,
            "df/policy/gated_log_prob": -2.5,
            "df/policy/entropy": 0.2,
            "df/repaired/old_log_prob": -5.0,
            "df/repaired/gated_log_prob": -6.0,
            "df/repaired/entropy": 0.5,
        }
    )


def test_the_distance_to_a_reference_model() -> None:
    reference = [[-1.5, -2.5, -3.5], [-5.0, -7.0, 0.0]]
    metrics = log_prob_metrics(padded(**ROWS, ref_log_prob=reference))
    assert metrics["df/policy/ref_kl"] == pytest.approx(0.5)
    assert metrics["df/repaired/ref_kl"] == pytest.approx(1.0)


def test_what_the_picture_says_about_the_tokens() -> None:
    blind = [[-1.5, -3.0, -3.0], [-5.0, -7.0, 0.0]]
    metrics = log_prob_metrics(padded(**ROWS, df_blind_log_probs=blind))
    own, hidden = ROWS["old_log_probs"][0], blind[0]
    mask = ROWS["response_mask"][0]
    gains = [a - b for a, b, trained in zip(own, hidden, mask, strict=True) if trained]
    assert metrics["df/policy/picture_gain"] == pytest.approx(sum(gains) / len(gains))
    assert metrics["df/repaired/picture_gain"] == pytest.approx(1.0)


def test_without_the_policys_own_pass_there_is_no_entropy() -> None:
    # verl's bypass mode takes the rollout engine's log-probabilities and computes no entropy
    metrics = log_prob_metrics(padded(**{name: values for name, values in ROWS.items() if name != "entropy"}))
    assert not [name for name in metrics if "entropy" in name]
    assert metrics["df/policy/old_log_prob"] == pytest.approx(-2.0)


def test_a_mean_over_no_token_is_left_out() -> None:
    metrics = log_prob_metrics(padded(**(ROWS | {IS_REPAIR: [[0]] * 2, GATE: [[0.0] * 3] * 2})))
    assert set(metrics) == {"df/policy/old_log_prob", "df/policy/entropy"}


def sums(name: str, tokens: float, ratio: float, log_ratio: float, clipped: float) -> dict[str, float]:
    values = {"tokens": tokens, "ratio_sum": ratio, "log_ratio_sum": log_ratio, "clipped_sum": clipped}
    return {f"actor/df/{name}/{key}": value for key, value in values.items()}


def test_sums_of_the_loss_become_means() -> None:
    metrics = {"actor/pg_loss": 0.5} | sums("repaired", 4, 6, 2, 1) | sums("policy", 0, 0, 0, 0)
    assert ratio_metrics(metrics) == {
        "df/repaired/ratio": 1.5,
        "df/repaired/ppo_kl": -0.5,
        "df/repaired/clip_fraction": 0.25,
    }
    assert metrics == {"actor/pg_loss": 0.5}


def test_a_new_run_sets_the_pairs_of_an_earlier_one_aside(tmp_path: Path) -> None:
    for run in range(3):
        log = PairLog(tmp_path, 1)
        log.start_after(0)
        log.write(1, *groups(1 + run), WORDS)
    assert sorted(path.name for path in tmp_path.glob("*.jsonl")) == ["pairs.1.jsonl", "pairs.2.jsonl", PAIRS_FILE]
    assert all(len(path.read_text().splitlines()) == 1 for path in tmp_path.glob("*.jsonl"))


def test_a_resumed_run_keeps_the_token_arrays_of_the_steps_before_it(tmp_path: Path) -> None:
    log = TokenLog(tmp_path, -1)
    with TOKEN_ARRAYS.writer(tmp_path / TOKEN_ARRAYS_FILE) as writer:
        for step in (1, 2, 3):
            writer.write(TokenArrays(step, "a_0_0", None, None))
    log.start_after(2)
    assert [record.step for record in TOKEN_ARRAYS.read(tmp_path / TOKEN_ARRAYS_FILE)] == [1, 2]
    assert len((tmp_path / "token_arrays.1.jsonl").read_text().splitlines()) == 3


@pytest.mark.parametrize(("limit", "expected"), [(0, None), (2, ["a", "c"]), (-1, ["a", "c", "b"])])
def test_groups_with_a_wrong_rollout_are_written_first(tmp_path: Path, limit: int, expected: list[str] | None) -> None:
    rows, answers = groups(1, 1, 2)
    answers[1] = GroupAnswer({}, (), GroupOutcome(1, 0, skip=SkipReason.ALL_CORRECT), ())
    log = GroupLog(tmp_path, limit)
    log.write(3, rows, answers, WORDS)
    path = tmp_path / GROUPS_FILE
    if expected is None:
        assert not path.exists()
        return
    found = list(GROUPS.read(path))
    assert [one.uid for one in found] == expected
    assert found[1].rollouts[1].rejections == ("wrong",) and found[1].reference == "4"
    GroupLog(tmp_path / "other", limit).start_after(3)  # nothing there


@pytest.mark.parametrize(("more", "stored"), [(0, 0), (4, 1)])
def test_texts_of_candidates_reach_the_log(tmp_path: Path, store: list, more: int, stored: int) -> None:
    """Few tokens with the answer, many through the store."""
    rows, answers = groups(2, 1)
    sampled = ((2, 3), (), (1,) * (LOGGED_TOKENS // 2 + more * LOGGED_TOKENS), (3,))
    rejections = (Rejection.WRONG, Rejection.EMPTY, Rejection.UNFINISHED, None)
    attempts = tuple(replace(one, chosen=3, rejections=rejections, candidates=sampled) for one in answers[0].attempts)
    result = GroupResult("a", (), {}, GroupOutcome(0, 0), attempts)
    assert GroupAnswer.of(result).candidates is None and store == []
    answers = [GroupAnswer.of(result, logged=True), *answers[1:]]
    assert len(store) == stored
    if stored:
        assert max(len(ids) for ids in store[0]["a_1_0"]) == LOGGED_TOKENS + 1
    assert all(one.candidates == () for one in answers[0].attempts)
    GroupLog(tmp_path, -1).write(3, rows, answers, WORDS)
    first, second = GROUPS.read(tmp_path / GROUPS_FILE)
    text = " ".join("0" * LOGGED_TOKENS) + CUT if more else " ".join("0" * (LOGGED_TOKENS // 2))
    assert [one.candidates for one in first.rollouts] == [("1 2", None, text, None)] * 2
    assert second.rollouts[0].candidates == ()


def test_values_that_json_does_not_have_are_null() -> None:
    assert rounded(np.array([0.1234567, np.nan, -np.inf, 12345678.0])) == (0.12346, None, None, 12346000.0)
    with pytest.raises(ValueError, match="ratio has 1 entries for 2 tokens"):
        UpdateSide((1, 1), (0, 0), (0, 0), (0, 0), (0, 0), None, (0, 0), (1,), (0, 0), None, None)


def test_a_resumed_run_keeps_the_pairs_of_the_steps_before_it(tmp_path: Path) -> None:
    for step in (1, 2, 3, 4):
        PairLog(tmp_path, 1).write(step, *groups(1), WORDS)
    path = tmp_path / PAIRS_FILE
    before = path.read_text()
    with path.open("a") as file:
        file.write('{"half of a li')  # the run was killed while it wrote
    log = PairLog(tmp_path, 1)
    log.start_after(2)
    log.write(3, *groups(1), WORDS)
    assert [record.step for record in PAIRS.read(path)] == [1, 2, 3]
    assert (tmp_path / "pairs.1.jsonl").read_text() == before


def test_a_run_that_ends_while_it_takes_pairs_over_loses_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for step in (1, 2, 3, 4):
        PairLog(tmp_path, 1).write(step, *groups(1), WORDS)

    def full(path: Path, records: Iterable[object]) -> None:
        next(iter(records))
        raise OSError(ENOSPC, "the disk is full")

    with monkeypatch.context() as small, pytest.raises(OSError, match="the disk is full"):
        small.setattr(PAIRS, "write", full)
        PairLog(tmp_path, 1).start_after(3)
    PairLog(tmp_path, 1).start_after(3)
    assert [record.step for record in PAIRS.read(tmp_path / PAIRS_FILE)] == [1, 2, 3]
    assert len(list(PAIRS.read(tmp_path / "pairs.2.jsonl"))) == 4


def test_pairs_that_another_run_writes_stay_where_they_are(tmp_path: Path) -> None:
    other = PairLog(tmp_path, 1)
    other.write(1, *groups(1), WORDS)
    for step in (0, 1):
        with pytest.raises(InUse):
            PairLog(tmp_path, 1).start_after(step)
    assert [path.name for path in tmp_path.glob("*.jsonl")] == [PAIRS_FILE]
