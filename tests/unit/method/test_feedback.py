# SPDX-License-Identifier: Apache-2.0
"""Difference feedback for one prompt, with models that are tables."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.adapters.support import Words
from verl_df.method.alignment import METHODS, align
from verl_df.method.feedback import (
    FeedbackConfig,
    GroupRequest,
    GroupResult,
    Judgement,
    Models,
    PromptTooLong,
    RepairSample,
    difference_feedback,
)
from verl_df.method.gates import KINDS, LEVELS, SEGMENTS, TAUS, GateConfig, build_gate
from verl_df.method.group import GROUP_MODES, ON_INFEASIBLE, ON_NO_CORRECT, GroupMember, Rollout, SkipReason
from verl_df.method.metrics import aggregate
from verl_df.method.records import PairRecord, from_json_line, pair_record, to_json_line

WORDS = Words(["two", "and", "make", "four", "five", "six", "so", "not", "ask", "TOOL", "SAYS"])
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
    words = WORDS.decode(token_ids).split()
    return float("four" in words and "not" not in words)


def rollout(key: str, text: str, finished: bool = True, reward: float | None = None) -> Rollout:
    """A sampled response; its words in capitals are what a tool wrote."""
    ids = WORDS.ids(text) if finished else WORDS.ids(text)[:-1]
    return Rollout(key, ids, r_task(ids) if reward is None else reward, loss_mask(ids), finished)


def loss_mask(token_ids: Sequence[int]) -> tuple[bool, ...]:
    return tuple(not WORDS.decode([token]).isupper() for token in token_ids)


def steps(token_ids: Sequence[int]) -> np.ndarray:
    """A step ends with the word `so`."""
    ends = [WORDS.decode([token]) == "so" for token in token_ids]
    return np.cumsum([False, *ends])[:-1]


def sample(text: str, finished: bool = True, contains_placeholder: bool = False) -> RepairSample:
    ids = WORDS.ids(text) if finished else WORDS.ids(text)[:-1]
    return RepairSample(ids, finished, contains_placeholder)


def request(*texts: str | Rollout, answer: str | None = "4", seed: str = "s") -> GroupRequest:
    rollouts = tuple(
        rollout(f"u_{number}_0", text) if isinstance(text, str) else text for number, text in enumerate(texts)
    )
    return GroupRequest("u", rollouts, answer, seed)


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
            steps=steps,
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


@dataclass(frozen=True, eq=False)
class Recorded(GroupResult):
    """A result with the records of its attempts, as the log makes them."""

    records: tuple[PairRecord, ...]


def recorded(group: GroupRequest, result: GroupResult) -> Recorded:
    given = {"step": 3, "prompt": "<image>2 + 2?", "images": (), "decode": WORDS.decode}
    texts = {"token_texts": lambda ids: [WORDS.decode([token]) for token in ids]}
    return Recorded(
        **vars(result), records=tuple(pair_record(attempt, group, **given, **texts) for attempt in result.attempts)
    )


def run(group: GroupRequest, fakes: Fakes, truth: np.ndarray | None = None, **changes: object) -> Recorded:
    result = asyncio.run(difference_feedback(group, replace(CONFIG, **changes), fakes.models(truth)))
    return recorded(group, result)


def counts(result: GroupResult) -> dict[str, float]:
    """The metrics that count special cases, those above 0."""
    names = ("infeasible", "truncated", "with_observations", "groups_of_one", "empty_masks")
    groups = ("pairs/", "skipped/", "rejected/", "reference/")
    found = {name.removeprefix("df/"): value for name, value in aggregate([result.outcome]).items()}
    return {name: value for name, value in found.items() if value and name.startswith((*names, *groups))}


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
    assert counts(result) == {"skipped/no_correct": 1}


@pytest.mark.parametrize("mode", GROUP_MODES)
def test_without_a_right_rollout_the_annotated_answer_may_serve(mode: str) -> None:
    fakes = Fakes({WRONG: [sample(RIGHT)], WORSE: [sample(WRONG)]})
    result = run(request(WRONG, WORSE), fakes, mode=mode, on_no_correct="annotated_answer")
    assert fakes.asked == [(WRONG, "4"), (WORSE, "4")]
    assert (result.records[0].reference, result.records[0].reference_kind) == ("4", "answer")
    assert counts(result) == {"reference/answer": 1, "infeasible": 1, "rejected/wrong": 1}
    errors = {("error", "u_0_0"): [0, 0, 0, 0, 1, 0], ("error", "u_1_0"): [1.0] * 7}
    repairs = {("repair", "u_0_0"): [0, 0, 0, 0, 1, 0]}
    assert gates(result) == (errors | repairs if mode == "repair_pairs" else errors)


@pytest.mark.parametrize("answer", [None, ""])
@pytest.mark.parametrize("mode", GROUP_MODES)
def test_an_answer_that_is_to_serve_must_be_there(mode: str, answer: str | None) -> None:
    with pytest.raises(ValueError, match="prompt 'u': .*the row has no answer; add it to the data"):
        run(request(WRONG, answer=answer), Fakes({}), mode=mode, on_no_correct="annotated_answer")


def test_all_right_is_skipped() -> None:
    fakes = Fakes({})
    result = run(request(RIGHT, RIGHT), fakes)
    assert (result.members, fakes.asked, fakes.judged) == ((), [], [])
    assert result.outcome.skip is SkipReason.ALL_CORRECT
    assert counts(result) == {"skipped/all_correct": 1}


@pytest.mark.parametrize("on_infeasible", ON_INFEASIBLE)
@pytest.mark.parametrize(
    ("texts", "skip"),
    [((RIGHT, RIGHT), "all_correct"), ((WRONG, WORSE), "no_correct"), ((RIGHT, "so so"), "no_repairable")],
)
def test_a_skipped_group_that_is_only_gated_stays_with_a_gate_of_one(
    texts: tuple[str, ...], skip: str, on_infeasible: str
) -> None:
    cut = [rollout(f"u_{number}_0", text, finished=text != "so so") for number, text in enumerate(texts)]
    fakes = Fakes({})
    result = run(request(*cut), fakes, mode="gate_only", on_infeasible=on_infeasible, repair_truncated=False)
    assert sorted(member.key for member in result.members) == ["u_0_0", "u_1_0"]
    assert all((member.gate == 1).all() for member in result.members)
    assert counts(result)[f"skipped/{skip}"] == 1
    assert (result.records, fakes.asked) == ((), [])


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
    assert counts(result) == {"infeasible": 1, "rejected/wrong": 2, "reference/sibling": 1}


def test_an_error_without_a_right_repair_may_be_dropped() -> None:
    result = run(request(RIGHT, WRONG, WORSE), Fakes(TWO_WRONG), on_infeasible="drop")
    assert [(member.kind, member.key) for member in result.members] == [("error", "u_1_0"), ("repair", "u_1_0")]
    assert counts(result)["infeasible"] == 1


@pytest.mark.parametrize(("on_infeasible", "gate"), [("keep", [1.0] * 7), ("zero", [0.0] * 7), ("drop", None)])
def test_an_error_without_a_right_repair_that_is_only_gated(on_infeasible: str, gate: list[float] | None) -> None:
    result = run(request(RIGHT, WRONG, WORSE), Fakes(TWO_WRONG), mode="gate_only", on_infeasible=on_infeasible)
    others = {("error", "u_1_0"): [0, 0, 0, 0, 1, 0], ("correct", "u_0_0"): [1.0] * 6}
    assert gates(result) == others | ({("error", "u_2_0"): gate} if gate else {})
    assert counts(result) == {"infeasible": 1, "rejected/wrong": 2, "reference/sibling": 1}


@pytest.mark.parametrize("on_infeasible", ["keep", "zero", "drop"])
def test_a_group_of_one_is_not_trained_on(on_infeasible: str) -> None:
    result = run(request(RIGHT, WORSE), Fakes(TWO_WRONG), on_infeasible=on_infeasible)
    assert result.members == ()
    assert (result.outcome.n_asked, result.outcome.n_repaired, result.outcome.rows_error) == (1, 0, 0)
    assert result.records[0].error.gate == (0.0,) * 7  # the record says what was trained on
    # a rollout that was dropped is counted as infeasible and leaves no group behind that could shrink
    assert counts(result).get("groups_of_one", 0) == (on_infeasible != "drop")
    assert counts(result)["infeasible"] == 1


def test_gating_never_leaves_one_rollout_of_several() -> None:
    result = run(request(RIGHT, WORSE), Fakes(TWO_WRONG), mode="gate_only", on_infeasible="drop")
    assert result.members == ()
    assert counts(result)["groups_of_one"] == 1


@pytest.mark.parametrize(
    ("text", "options", "members", "counted"),
    [
        (RIGHT, {}, [], {"skipped/all_correct": 1}),
        (WRONG, {}, [], {"skipped/no_correct": 1}),
        (WRONG, {"on_no_correct": "annotated_answer"}, ["error", "repair"], {"reference/answer": 1}),
        (
            WORSE,
            {"on_no_correct": "annotated_answer"},
            [],
            {"reference/answer": 1, "infeasible": 1, "groups_of_one": 1, "rejected/wrong": 2},
        ),
        (RIGHT, {"mode": "gate_only"}, ["correct"], {"skipped/all_correct": 1}),
        (WRONG, {"mode": "gate_only"}, ["error"], {"skipped/no_correct": 1}),
        (WRONG, {"mode": "gate_only", "on_no_correct": "annotated_answer"}, ["error"], {"reference/answer": 1}),
    ],
)
def test_a_prompt_that_was_sampled_once(text: str, options: dict, members: list[str], counted: dict) -> None:
    # rollout.n=1, or the other samples failed
    result = run(request(text), Fakes(TWO_WRONG), **options)
    assert [member.kind for member in result.members] == members
    assert counts(result) == counted


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
    left_out = run(cut, fakes, repair_truncated=False)
    assert [response for response, _ in fakes.asked] == [WRONG]
    assert counts(left_out) == {"truncated": 1, "truncated_left_out": 1, "reference/sibling": 1}
    assert gates(left_out)["error", "u_2_0"] == [1, 1]  # as without a right repair; df.group.on_infeasible
    assert ("error", "u_2_0") not in gates(run(cut, fakes, repair_truncated=False, on_infeasible="drop"))
    fakes.asked.clear()
    repaired = run(cut, fakes, repair_truncated=True)
    assert [response for response, _ in fakes.asked] == [WRONG, "so so"]
    assert counts(repaired) == {"truncated": 1, "reference/sibling": 1}


@pytest.mark.parametrize(("mode", "members"), [("repair_pairs", []), ("gate_only", ["error", "correct"])])
def test_a_group_whose_errors_are_all_cut(mode: str, members: list[str]) -> None:
    cut = request(RIGHT, rollout("u_1_0", "so so", finished=False))
    result = run(cut, Fakes({}), mode=mode, repair_truncated=False)
    assert [member.kind for member in result.members] == members
    assert counts(result) == {"skipped/no_repairable": 1, "truncated": 1, "truncated_left_out": 1}


# ---- awkward repairs -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", GROUP_MODES)
def test_a_repair_that_is_the_error_itself_is_none(mode: str) -> None:
    # only where the reward is not a function of the tokens: a judge that changes its mind
    judged_wrong = rollout("u_1_0", "so four", reward=0.0)
    group = request(RIGHT, judged_wrong, WRONG)
    result = run(group, Fakes({"so four": [sample("so four")], WRONG: [sample(RIGHT)]}), mode=mode)
    assert gates(result)["error", "u_1_0"] == [1, 1, 1]
    assert counts(result) == {"infeasible": 1, "rejected/identical": 1, "reference/sibling": 1}


@pytest.mark.parametrize("mode", GROUP_MODES)
def test_a_repair_cut_by_the_length_limit_is_none(mode: str) -> None:
    result = run(request(RIGHT, WRONG, WORSE), Fakes({**TWO_WRONG, WORSE: [sample(RIGHT, finished=False)]}), mode=mode)
    assert gates(result)["error", "u_2_0"] == [1.0] * 7
    assert counts(result) == {"infeasible": 1, "rejected/unfinished": 1, "reference/sibling": 1}


@pytest.mark.parametrize(
    ("wrong", "right", "error", "repair", "name"),
    [
        # the position of the gap is marked on the other side
        ("two and two make", RIGHT, [0, 0, 0, 0, 1], [0, 0, 0, 0, 1, 0], "insert_only"),
        ("two make not four", "two make four", [0, 0, 1, 0, 0], [0, 0, 1, 0], "delete_only"),
    ],
)
@pytest.mark.parametrize("method", METHODS)
def test_pairs_of_one_kind_of_edit(
    method: str, wrong: str, right: str, error: list[int], repair: list[int], name: str
) -> None:
    group, fakes = request(RIGHT, wrong), Fakes({wrong: [sample(right)]})
    result = run(group, fakes, method=method)
    assert gates(result) == {("error", "u_1_0"): error, ("repair", "u_1_0"): repair}
    assert counts(result) == {f"pairs/{name}": 1, "reference/sibling": 1}
    gated = run(group, fakes, method=method, mode="gate_only")
    assert gates(gated) == {("error", "u_1_0"): error, ("correct", "u_0_0"): [1.0] * 6}
    assert counts(gated) == counts(result)


# ---- observation tokens: words in capitals ---------------------------------------------------------------------------

WITH_TOOL = "ask TOOL SAYS five"


@pytest.mark.parametrize("mode", GROUP_MODES)
def test_a_repair_that_changes_what_a_tool_wrote_is_none(mode: str) -> None:
    samples = [sample("ask TOOL four"), sample("ask TOOL so SAYS four"), sample("four")]
    result = run(request(RIGHT, WITH_TOOL, WRONG), Fakes({WITH_TOOL: samples, WRONG: [sample(RIGHT)]}), mode=mode)
    assert gates(result)["error", "u_1_0"] == [1.0] * 5
    assert ("repair", "u_1_0") not in gates(result)
    expected = {"infeasible": 1, "rejected/observation": 3, "with_observations": 1, "reference/sibling": 1}
    assert counts(result) == expected
    assert result.records[0].rejections == ("observation",) * 3


@pytest.mark.parametrize("mode", GROUP_MODES)
def test_a_repair_that_keeps_what_a_tool_wrote(mode: str) -> None:
    samples = [sample("ask TOOL four"), sample("so ask TOOL SAYS make four")]
    result = run(request(RIGHT, WITH_TOOL), Fakes({WITH_TOOL: samples}), mode=mode)
    error, other = result.members
    assert error.gate.tolist() == [1, 0, 0, 1, 0]
    assert counts(result) == {"rejected/observation": 1, "with_observations": 1, "reference/sibling": 1}
    (record,) = result.records
    assert record.error.mask == (1, 0, 0, 1, 0)
    assert record.repair.mask == (1, 0, 0, 0, 1, 1, 0)
    if mode == "repair_pairs":
        assert other.loss_mask == (True, True, False, False, True, True, True)
        assert other.gate.tolist() == list(record.repair.mask)
        assert result.outcome.repair_densities == (3 / 5,)
    else:
        assert (other.kind, other.gate.tolist()) == ("correct", [1.0] * 6)


@pytest.mark.parametrize(
    ("wrong", "right", "error", "repair", "name"),
    [
        ("ask TOOL", "ask four TOOL", (0, 0, 0), (0, 1, 0, 0), "insert_only"),
        ("four not TOOL", "four TOOL", (0, 1, 0, 0), (0, 0, 0), "delete_only"),
    ],
)
def test_a_gap_before_a_tool_token_is_an_empty_mask(
    wrong: str, right: str, error: tuple, repair: tuple, name: str
) -> None:
    # the word stands before TOOL, which the policy did not write; the other side still teaches
    result = run(request(RIGHT, wrong), Fakes({wrong: [sample(right)]}))
    assert gates(result) == {("error", "u_1_0"): list(error), ("repair", "u_1_0"): list(repair)}
    expected = {"empty_masks": 1, f"pairs/{name}": 1, "with_observations": 1, "reference/sibling": 1}
    assert counts(result) == expected
    assert (result.records[0].error.mask, result.records[0].repair.mask) == (error, repair)


def test_a_step_takes_in_no_tool_token() -> None:
    # steps are cut on token ids, whoever wrote them
    wrong, right = "ask so two TOOL SAYS five so and", "ask so two TOOL SAYS four so and"
    result = run(request(RIGHT, wrong), Fakes({wrong: [sample(right)]}), gate=GateConfig(level="step"))
    gate = [0, 0, 1, 0, 0, 1, 1, 0, 0]
    assert gates(result) == {("error", "u_1_0"): gate, ("repair", "u_1_0"): gate}


# ---- every alignment with every gate ---------------------------------------------------------------------------------

TEXTS = st.lists(st.sampled_from(WORDS.words[1:]), min_size=1, max_size=7).map(" ".join)
GATES = st.builds(
    GateConfig,
    kind=st.sampled_from(KINDS),
    alpha=st.sampled_from([0.0, 0.3]),
    tau=st.sampled_from(TAUS),
    level=st.sampled_from(LEVELS),
    segments=st.sampled_from(SEGMENTS),
)
OPTIONS = st.fixed_dictionaries(
    {
        "mode": st.sampled_from(GROUP_MODES),
        "on_no_correct": st.sampled_from(ON_NO_CORRECT),
        "on_infeasible": st.sampled_from(ON_INFEASIBLE),
        "repair_truncated": st.booleans(),
        "method": st.sampled_from(METHODS),
        "gate": GATES,
    }
)


@st.composite
def served_groups(draw: st.DrawFn) -> tuple[GroupRequest, Fakes]:
    """A group of any rollouts; most repairs are the error with a right end, some are anything."""
    texts = draw(st.lists(TEXTS, min_size=1, max_size=4))
    rollouts = [rollout(f"u_{number}_0", text, draw(st.booleans())) for number, text in enumerate(texts)]
    repairs = {}
    for text in texts:
        kept = " ".join(word for word in text.split() if word != "not")
        repairs[text] = [sample(one) for one in draw(st.lists(TEXTS | st.just(kept + " four"), max_size=3))]
    return request(*rollouts), Fakes(repairs)


def observations(member: GroupMember | Rollout) -> list[int]:
    pairs = zip(member.token_ids, member.loss_mask, strict=True)
    return [token for token, policy in pairs if not policy]


@settings(max_examples=150)
@given(served_groups(), OPTIONS)
def test_whatever_comes_in_the_group_is_sound(served: tuple[GroupRequest, Fakes], options: dict) -> None:
    group, fakes = served
    result = run(group, fakes, **options)
    sampled = {one.key: one for one in group.rollouts}
    found = aggregate([result.outcome])
    for member in result.members:
        assert member.gate.dtype == np.float32 and len(member.gate) == len(member.token_ids) == len(member.loss_mask)
        assert ((member.gate >= 0) & (member.gate <= 1)).all()
        paired = member.edit_distance is not None
        assert paired or set(member.gate.tolist()) <= {0.0, 1.0}
        if paired:
            assert not member.gate[~np.array(member.loss_mask)].any()
            assert observations(member) == observations(sampled[member.key])
        if member.kind != "repair":
            assert (member.token_ids, member.loss_mask) == (
                sampled[member.key].token_ids,
                sampled[member.key].loss_mask,
            )
    kinds = [member.kind for member in result.members]
    assert "repair" not in kinds if options["mode"] == "gate_only" else "correct" not in kinds
    assert len(kinds) != 1 or (options["mode"] == "gate_only" and len(group.rollouts) == 1)
    assert not (result.members and found["df/groups_of_one"])
    assert found["df/infeasible"] == sum(record.repair is None for record in result.records)
    assert found["df/asked"] + found["df/truncated_left_out"] <= found["df/erroneous"]
    assert found["df/reference/sibling"] + found["df/reference/answer"] == (result.outcome.skip is None)


@settings(max_examples=100)
@given(served_groups(), OPTIONS)
def test_the_gates_are_those_of_the_chosen_pair(served: tuple[GroupRequest, Fakes], options: dict) -> None:
    group, fakes = served
    options |= {"mode": "repair_pairs"}
    members = run(group, fakes, **options).members
    errors = {member.key: member for member in members if member.kind == "error"}
    for repair in (member for member in members if member.kind == "repair"):
        error = errors[repair.key]
        alignment = align(error.token_ids, repair.token_ids, method=options["method"])
        # a tool's word that the repair made up is the repair's own: only those of y are observations
        kept = [position < 0 or error.loss_mask[position] for position in alignment.matched]
        assert list(repair.loss_mask) == kept
        for member, mask in ((error, alignment.error_mask), (repair, alignment.repair_mask)):
            step_ids = steps(member.token_ids)
            expected = build_gate(mask, options["gate"], step_ids=step_ids, loss_mask=member.loss_mask)
            assert member.gate.tolist() == expected.tolist()
            assert member.edit_distance == alignment.distance


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


def content(result: Recorded) -> tuple:
    """A result without its times."""
    members = [(member.kind, member.key, member.token_ids, member.gate.tolist()) for member in result.members]
    return members, result.records, result.repair_rewards


def test_groups_served_together_come_out_as_one_after_another() -> None:
    groups = [request(RIGHT, "four", WRONG, WORSE, seed=str(seed)) for seed in range(4)]
    repairs = {WRONG: [sample("so " + RIGHT), sample(RIGHT)], WORSE: [sample(RIGHT)]}
    alone = [content(run(group, Fakes(repairs))) for group in groups]

    async def together() -> list[Recorded]:
        waits = (0.03, 0.0, 0.02, 0.01)
        fakes = [Fakes(repairs, wait=wait) for wait in waits]
        calls = zip(groups, fakes, strict=True)
        results = await asyncio.gather(*(difference_feedback(group, CONFIG, fake.models()) for group, fake in calls))
        return [recorded(group, result) for group, result in zip(groups, results, strict=True)]

    assert [content(result) for result in asyncio.run(together())] == alone


def test_a_prompt_that_is_too_long_is_a_counted_rejection_and_the_others_are_repaired() -> None:
    class Short(Fakes):
        async def _repair(self, response: str, reference: str) -> list[RepairSample]:
            if response == WORSE:
                raise PromptTooLong("9 tokens, the repair engine takes 8")
            return await super()._repair(response, reference)

    result = run(request(RIGHT, WORSE, WRONG), Short({WRONG: [sample(RIGHT)]}))
    assert [member.key for member in result.members] == ["u_1_0", "u_2_0", "u_2_0"]
    assert counts(result) == {"infeasible": 1, "rejected/prompt_too_long": 1, "reference/sibling": 1}
    assert result.records[0].rejections == ("prompt_too_long",) and result.records[0].repair is None


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
