# SPDX-License-Identifier: Apache-2.0
"""Difference feedback for one prompt, with models that are tables."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from adapters_support import Words
from hypothesis import given
from hypothesis import strategies as st

from verl_df.core.feedback import (
    FeedbackConfig,
    GroupRequest,
    GroupResult,
    Judgement,
    Models,
    RepairSample,
    difference_feedback,
)
from verl_df.core.gates import GateConfig
from verl_df.core.group import Rollout, SkipReason
from verl_df.core.records import from_json_line, to_json_line

WORDS = Words(["two", "and", "make", "four", "five", "six", "so"])
RIGHT = "two and two make four"
WRONG = "two and two make five"
WORSE = "so two and two make six"
CONFIG = FeedbackConfig(
    mode="repair_pairs",
    reward_threshold=1.0,
    on_no_correct="skip",
    on_infeasible="keep",
    repair_truncated=True,
    method="levenshtein",
    backend="rapidfuzz",
    gate=GateConfig(),
)


def r_task(token_ids: Sequence[int]) -> float:
    return float("four" in WORDS.decode(token_ids))


def rollout(key: str, text: str, finished: bool = True) -> Rollout:
    ids = WORDS.ids(text) if finished else WORDS.ids(text)[:-1]
    return Rollout(key, ids, r_task(ids), (True,) * len(ids), finished)


def sample(text: str, finished: bool = True, contains_placeholder: bool = False) -> RepairSample:
    ids = WORDS.ids(text) if finished else WORDS.ids(text)[:-1]
    return RepairSample(ids, finished, contains_placeholder)


def request(*texts: str, answer: str | None = "4", seed: str = "s") -> GroupRequest:
    rollouts = tuple(rollout(f"u_{number}_0", text) for number, text in enumerate(texts))
    return GroupRequest("u", 3, rollouts, answer, seed, "<image>2 + 2?")


class Fakes:
    """A repair model that is a table from the wrong text to samples, and a judge; both write down their calls."""

    def __init__(self, repairs: dict[str, list[RepairSample]], penalty: float = 0.0, wait: float = 0.0) -> None:
        self.repairs, self.penalty, self.wait = repairs, penalty, wait
        self.asked: list[tuple[str, str]] = []
        self.judged: list[tuple[int, ...]] = []

    def models(self, truth: np.ndarray | None = None) -> Models:
        return Models(
            repair=self._repair,
            judge=self._judge,
            decode=WORDS.decode,
            token_texts=lambda ids: [WORDS.decode([token]) for token in ids],
            steps=lambda ids: np.zeros(len(ids), dtype=int),
            true_errors=lambda ids: None if truth is None else truth[: len(ids)],
        )

    async def _repair(self, response: str, reference: str) -> list[RepairSample]:
        self.asked.append((response, reference))
        await asyncio.sleep(self.wait)
        return self.repairs[response]

    async def _judge(self, token_ids: Sequence[int]) -> Judgement:
        self.judged.append(tuple(token_ids))
        await asyncio.sleep(0)
        return Judgement(r_task(token_ids), r_task(token_ids) - self.penalty)


def run(group: GroupRequest, fakes: Fakes, truth: np.ndarray | None = None, **changes: object) -> GroupResult:
    return asyncio.run(difference_feedback(group, replace(CONFIG, **changes), fakes.models(truth)))


def gates(result: GroupResult) -> dict[tuple[str, str], list[float]]:
    return {(member.kind, member.key): member.gate.tolist() for member in result.members}


def test_a_wrong_rollout_is_repaired_and_both_sides_are_gated_where_they_differ() -> None:
    result = run(request(RIGHT, WRONG), Fakes({WRONG: [sample(RIGHT)]}))
    assert gates(result) == {("error", "u_1_0"): [0, 0, 0, 0, 1, 0], ("repair", "u_1_0"): [0, 0, 0, 0, 1, 0]}
    assert [member.reward for member in result.members] == [0.0, 1.0]
    assert result.outcome.n_repaired == result.outcome.n_asked == 1
    assert (result.uid, result.repair_rewards) == ("u", {"u_1_0": 1.0})


def test_the_nearest_right_sample_is_chosen() -> None:
    samples = [sample(WORSE), sample("so " + RIGHT), sample(RIGHT), sample("four")]
    result = run(request(RIGHT, WRONG), Fakes({WRONG: samples}))
    assert result.members[1].token_ids == WORDS.ids(RIGHT)
    assert result.records[0].rejections == ("wrong", None, None, None)
    assert (result.records[0].edit_distance, result.records[0].edit_ratio) == (1, 1 / 6)


def test_the_repair_is_rewarded_with_its_shaped_reward_and_compared_by_its_task_reward() -> None:
    result = run(request(RIGHT, WRONG), Fakes({WRONG: [sample(RIGHT)]}, penalty=0.25))
    assert result.repair_rewards == {"u_1_0": 0.75}
    assert result.members[1].reward == 1.0


def test_samples_that_cannot_be_used_are_never_judged() -> None:
    unusable = [sample(RIGHT, finished=False), sample(RIGHT, contains_placeholder=True), RepairSample((), False, False)]
    fakes = Fakes({WRONG: [*unusable, sample(RIGHT)]})
    result = run(request(RIGHT, WRONG), fakes)
    assert fakes.judged == [WORDS.ids(RIGHT)]
    assert result.records[0].rejections == ("unfinished", "placeholder", "empty", None)


@given(st.lists(st.tuples(st.sampled_from([RIGHT, WORSE]), st.booleans(), st.booleans()), min_size=1, max_size=5))
def test_each_sample_that_counts_is_judged_once(settings: list[tuple[str, bool, bool]]) -> None:
    samples = [sample(*setting) for setting in settings]
    fakes = Fakes({WRONG: samples, WORSE: samples})
    run(request(RIGHT, WRONG, WORSE), fakes)
    judged = [sample.token_ids for sample in samples if sample.finished and not sample.contains_placeholder]
    assert sorted(fakes.judged) == sorted(judged * 2)


# ---- the reference ---------------------------------------------------------------------------------------------------


def test_the_reference_is_a_right_sibling_and_only_the_seed_chooses_it() -> None:
    right = [RIGHT, "so " + RIGHT, "four"]
    chosen = {}
    for seed in map(str, range(30)):
        fakes = Fakes({WRONG: [sample(RIGHT)], WORSE: [sample(RIGHT)]})
        run(request(*right, WRONG, WORSE, seed=seed), fakes)
        references = {reference for _, reference in fakes.asked}
        assert len(references) == 1  # one a per prompt (Eq. 13)
        chosen[seed] = references.pop()
    assert set(chosen.values()) == set(right)

    for seed, reference in chosen.items():
        shuffled = request(*right, WRONG, WORSE, seed=seed)
        fakes = Fakes({WRONG: [sample(RIGHT)], WORSE: [sample(RIGHT)]})
        run(replace(shuffled, rollouts=shuffled.rollouts[::-1]), fakes)
        assert {reference for _, reference in fakes.asked} == {reference}


def test_without_a_right_rollout_the_prompt_is_skipped() -> None:
    fakes = Fakes({})
    result = run(request(WRONG, WORSE), fakes)
    assert (result.members, result.records, fakes.asked) == ((), (), [])
    assert result.outcome.skip is SkipReason.NO_CORRECT


def test_without_a_right_rollout_the_annotated_answer_may_serve() -> None:
    fakes = Fakes({WRONG: [sample(RIGHT)]})
    result = run(request(WRONG), fakes, on_no_correct="annotated_answer")
    assert fakes.asked == [(WRONG, "4")]
    assert (result.records[0].reference, result.records[0].reference_kind) == ("4", "answer")
    assert len(result.members) == 2


def test_an_answer_that_is_to_serve_must_be_there() -> None:
    with pytest.raises(ValueError, match="the row has no answer"):
        run(request(WRONG, answer=None), Fakes({}), on_no_correct="annotated_answer")


def test_all_right_is_skipped() -> None:
    fakes = Fakes({})
    result = run(request(RIGHT, RIGHT), fakes)
    assert (result.members, fakes.asked, fakes.judged) == ((), [], [])
    assert result.outcome.skip is SkipReason.ALL_CORRECT


# ---- no right repair -------------------------------------------------------------------------------------------------

TWO_WRONG = {WRONG: [sample(RIGHT)], WORSE: [sample(WORSE), sample(WRONG)]}


@pytest.mark.parametrize(
    ("on_infeasible", "infeasible"),
    [("keep", {("error", "u_2_0"): [1.0] * 7}), ("zero", {("error", "u_2_0"): [0.0] * 7})],
)
def test_an_error_without_a_right_repair_stays(on_infeasible: str, infeasible: dict) -> None:
    result = run(request(RIGHT, WRONG, WORSE), Fakes(TWO_WRONG), on_infeasible=on_infeasible)
    pair = {("error", "u_1_0"): [0, 0, 0, 0, 1, 0], ("repair", "u_1_0"): [0, 0, 0, 0, 1, 0]}
    assert gates(result) == pair | infeasible
    assert result.records[1].repair is None
    assert result.records[1].rejections == ("wrong", "wrong")


def test_an_error_without_a_right_repair_may_be_dropped() -> None:
    result = run(request(RIGHT, WRONG, WORSE), Fakes(TWO_WRONG), on_infeasible="drop")
    assert [(member.kind, member.key) for member in result.members] == [("error", "u_1_0"), ("repair", "u_1_0")]


@pytest.mark.parametrize("on_infeasible", ["keep", "zero", "drop"])
def test_a_group_of_one_is_not_trained_on(on_infeasible: str) -> None:
    result = run(request(RIGHT, WORSE), Fakes(TWO_WRONG), on_infeasible=on_infeasible)
    assert result.members == ()
    assert (result.outcome.n_asked, result.outcome.n_repaired, result.outcome.rows_error) == (1, 0, 0)
    assert result.records[0].error.gate == (0.0,) * 7  # the record says what was trained on


def test_gating_never_leaves_one_rollout_of_several() -> None:
    result = run(request(RIGHT, WORSE), Fakes(TWO_WRONG), mode="gate_only", on_infeasible="drop")
    assert result.members == ()
    alone = run(request(RIGHT), Fakes({}), mode="gate_only")
    assert gates(alone) == {("correct", "u_0_0"): [1.0] * 6}


def test_gate_only_adds_and_removes_nothing() -> None:
    result = run(request(RIGHT, WRONG, WORSE), Fakes(TWO_WRONG), mode="gate_only")
    assert gates(result) == {
        ("error", "u_1_0"): [0, 0, 0, 0, 1, 0],
        ("error", "u_2_0"): [1.0] * 7,
        ("correct", "u_0_0"): [1.0] * 6,
    }


def test_truncated_rollouts_may_be_left_out_of_repair() -> None:
    group = request(RIGHT, WRONG)
    cut = replace(group, rollouts=(*group.rollouts, rollout("u_2_0", "so so", finished=False)))
    fakes = Fakes({WRONG: [sample(RIGHT)], "so so": [sample(RIGHT)]})
    run(cut, fakes, repair_truncated=False)
    assert [response for response, _ in fakes.asked] == [WRONG]
    run(cut, fakes, repair_truncated=True)
    assert [response for response, _ in fakes.asked] == [WRONG, WRONG, "so so"]


# ---- records, truth, concurrency, failures ---------------------------------------------------------------------------


def test_records_are_complete() -> None:
    truth = np.array([False, False, False, False, True, False])
    result = run(request(RIGHT, WRONG), Fakes({WRONG: [sample(WORSE), sample(RIGHT)]}), truth)
    (record,) = result.records
    assert from_json_line(to_json_line(record)) == record
    assert (record.step, record.uid, record.prompt, record.ground_truth) == (3, "u", "<image>2 + 2?", "4")
    assert (record.reference, record.reference_kind, record.images) == (RIGHT, "sibling", ())
    assert record.error.token_ids == WORDS.ids(WRONG)
    assert record.error.tokens == ("two", "and", "two", "make", "five", "")
    assert record.error.mask == record.error.gate == record.truth_mask == (0, 0, 0, 0, 1, 0)
    assert record.repair.token_ids == WORDS.ids(RIGHT)
    assert (record.error.reward, record.repair.reward) == (0.0, 1.0)
    assert (result.outcome.truth.tp, result.outcome.truth.fp, result.outcome.truth.fn) == (1, 0, 0)


def test_in_gate_only_mode_a_record_shows_the_repair_ungated() -> None:
    (record,) = run(request(RIGHT, WRONG), Fakes({WRONG: [sample(RIGHT)]}), mode="gate_only").records
    assert record.repair.mask == (0, 0, 0, 0, 1, 0)
    assert record.repair.gate == (0.0,) * 6  # the repair is in no group
    assert record.error.gate == (0, 0, 0, 0, 1, 0)


def content(result: GroupResult) -> tuple:
    """A result without its times."""
    members = [(member.kind, member.key, member.token_ids, member.gate.tolist()) for member in result.members]
    return members, result.records, result.repair_rewards


def test_groups_served_together_come_out_as_one_after_another() -> None:
    groups = [request(RIGHT, "four", WRONG, WORSE, seed=str(seed)) for seed in range(4)]
    repairs = {WRONG: [sample("so " + RIGHT), sample(RIGHT)], WORSE: [sample(RIGHT)]}
    alone = [content(run(group, Fakes(repairs))) for group in groups]

    async def together() -> list[GroupResult]:
        waits = (0.03, 0.0, 0.02, 0.01)
        fakes = [Fakes(repairs, wait=wait) for wait in waits]
        calls = zip(groups, fakes, strict=True)
        return await asyncio.gather(*(difference_feedback(group, CONFIG, fake.models()) for group, fake in calls))

    assert [content(result) for result in asyncio.run(together())] == alone


def test_a_failure_of_the_repair_model_reaches_the_caller() -> None:
    class Broken(Fakes):
        async def _repair(self, response: str, reference: str) -> list[RepairSample]:
            raise ConnectionError("engine gone")

    with pytest.raises(ConnectionError, match="engine gone"):
        run(request(RIGHT, WRONG), Broken({}))


def test_a_reward_outside_its_range_reaches_the_caller() -> None:
    class Harsh(Fakes):
        async def _judge(self, token_ids: Sequence[int]) -> Judgement:
            return Judgement(-1.0, -1.0)

    with pytest.raises(ValueError, match=r"reward -1.0: give the task reward in \[0, 1\]"):
        run(request(RIGHT, WRONG), Harsh({WRONG: [sample(RIGHT)]}))
