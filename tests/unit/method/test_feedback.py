# SPDX-License-Identifier: Apache-2.0
"""Difference feedback for one prompt, with models that are tables."""

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.adapters.support import Words
from verl_df.method import feedback
from verl_df.method.alignment import AlignmentConfig, Method, align
from verl_df.method.feedback import (
    FeedbackConfig,
    GroupRequest,
    GroupResult,
    Judgement,
    Models,
    NoRepair,
    PromptTooLong,
    RepairSample,
    difference_feedback,
)
from verl_df.method.gates import GateConfig, GateKind, Level, Segments, Tau, build_gate
from verl_df.method.group import GroupConfig, GroupMember, OnInfeasible, OnNoCorrect, OnNoRepair, Rollout
from verl_df.method.metrics import aggregate
from verl_df.method.records import PAIRS, PairRecord, pair_record
from verl_df.method.repair import Rejection

WORDS = Words(["two", "and", "make", "four", "five", "six", "so", "not", "ask", "TOOL", "SAYS"])
RIGHT = "two and two make four"
WRONG = "two and two make five"
WORSE = "so two and two make six"
CONFIG = FeedbackConfig()
MODES = ("repair_pairs", "gate_only")


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


def request(
    *texts: str | Rollout, answer: str | None = "4", seed: str = "s", preferred: str | None = None
) -> GroupRequest:
    rollouts = tuple(
        rollout(f"u_{number}_0", text) if isinstance(text, str) else text for number, text in enumerate(texts)
    )
    return GroupRequest("u", rollouts, answer, seed, preferred)


class Fakes:
    """A repair model that is a table from the wrong text to samples, and a judge; both write down their calls."""

    def __init__(self, repairs: dict[str, list[RepairSample]], penalty: float = 0.0, wait: float = 0.0) -> None:
        self.repairs, self.penalty, self.wait = repairs, penalty, wait
        self.asked: list[tuple[str, str]] = []
        self.seeds: list[str] = []
        self.judged: list[tuple[int, ...]] = []

    def models(self, truth: np.ndarray | None = None) -> Models:
        return Models(
            repair=self._repair,
            judge=self._judge,
            decode=WORDS.decode,
            steps=steps,
            true_errors=lambda ids: None if truth is None else truth[: len(ids)],
        )

    async def _repair(self, response: str, reference: str, seed: str) -> list[RepairSample]:
        self.asked.append((response, reference))
        self.seeds.append(seed)
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


def run(group: GroupRequest, fakes: Fakes, truth: np.ndarray | None = None, **changes: Any) -> Recorded:
    """Changes are of the group's settings, or of `gate`, `method` and `repair_truncated`."""
    others = {name: changes.pop(name) for name in ("gate", "repair_truncated") if name in changes}
    alignment = AlignmentConfig(changes.pop("method", Method.LEVENSHTEIN))
    config = replace(CONFIG, group=GroupConfig(**changes), alignment=alignment, **others)
    return recorded(group, asyncio.run(difference_feedback(group, config, fakes.models(truth))))


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


PREFERRED = {"reference": "preferred"}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("texts", [(RIGHT, WRONG, WORSE), (WRONG, WORSE)])
def test_a_preferred_response_is_the_reference_with_right_rollouts_and_without(
    texts: tuple[str, ...], mode: str
) -> None:
    fakes = Fakes({WRONG: [sample(RIGHT)], WORSE: [sample(WORSE)]})
    result = run(request(*texts, preferred="it is four"), fakes, mode=mode, **PREFERRED)
    assert fakes.asked == [(WRONG, "it is four"), (WORSE, "it is four")]
    assert counts(result) == {"infeasible": 1, "rejected/wrong": 1, "reference/preferred": 1}
    assert [(one.reference, one.reference_kind) for one in result.records] == [("it is four", "preferred")] * 2


@given(st.lists(st.sampled_from([RIGHT, WRONG, WORSE, "four"]), min_size=1, max_size=6), st.sampled_from(MODES))
def test_another_reference_changes_what_the_repair_model_sees_and_nothing_else(texts: list[str], mode: str) -> None:
    """The same samples for any reference: the groups are equal, unless the paper's rule skips the prompt."""
    table = {WRONG: [sample(RIGHT)], WORSE: [sample(WORSE), sample(RIGHT)]}
    sibling = run(request(*texts), Fakes(table), mode=mode)
    preferred = run(request(*texts, preferred="it is four"), Fakes(table), mode=mode, **PREFERRED)
    if sibling.outcome.skip != "no_correct":
        assert gates(sibling) == gates(preferred) and sibling.outcome.skip == preferred.outcome.skip
    else:
        assert preferred.outcome.skip is None and preferred.outcome.n_repaired == len(texts)


@pytest.mark.parametrize("mode", MODES)
def test_a_preferred_response_must_be_there(mode: str) -> None:
    with pytest.raises(ValueError, match="prompt 'u': reference='preferred', but the row has no preferred response"):
        run(request(RIGHT, WRONG), Fakes({}), mode=mode, **PREFERRED)


@pytest.mark.parametrize("answer", [None, ""])
@pytest.mark.parametrize("mode", MODES)
def test_an_answer_that_is_to_serve_must_be_there(mode: str, answer: str | None) -> None:
    with pytest.raises(ValueError, match="prompt 'u': .*the row has no answer; add it to the data"):
        run(request(WRONG, answer=answer), Fakes({}), mode=mode, on_no_correct="annotated_answer")


# ---- every case, in both modes ---------------------------------------------------------------------------------------

WITH_TOOL = "ask TOOL SAYS five"
SAMPLES = {
    WRONG: [sample(RIGHT)],
    WORSE: [sample(WORSE), sample(WRONG)],
    "so so": [sample(RIGHT)],
    "so four": [sample("so four")],
    "six": [sample(RIGHT, finished=False)],
    "two and two make": [sample(RIGHT)],
    "two make not four": [sample("two make four")],
    WITH_TOOL: [sample("ask TOOL four"), sample("ask TOOL so SAYS four"), sample("four")],
    "ask TOOL": [sample("ask four TOOL")],
    "four not TOOL": [sample("four TOOL")],
    "ask so two TOOL SAYS five so and": [sample("ask so two TOOL SAYS four so and")],
}
CUT_1, CUT_2 = (rollout(f"u_{number}_0", "so so", finished=False) for number in (1, 2))
MISJUDGED = rollout("u_1_0", "so four", reward=0.0)  # only where the reward is not a function of the tokens
ANSWER = {"on_no_correct": "annotated_answer"}
LEFT_OUT = {"repair_truncated": False}
# rollouts; settings; members with their gates by mode (e: error, r: repair, c: correct; None: not looked at); counts
CASES = [
    ((RIGHT, WRONG), {}, "e1:000010 r1:000010", "e1:000010 c0:111111", "reference/sibling=1"),
    ((RIGHT, WRONG), ANSWER, "e1:000010 r1:000010", "e1:000010 c0:111111", "reference/sibling=1"),
    # no right rollout, no wrong one
    ((WRONG, WORSE), {}, "", "e0:111111 e1:1111111", "skipped/no_correct=1"),
    (
        (WRONG, WORSE), ANSWER, "e0:000010 e1:1111111 r0:000010", "e0:000010 e1:1111111",
        "infeasible=1 reference/answer=1 rejected/wrong=2",
    ),
    ((RIGHT, RIGHT), {}, "", "c0:111111 c1:111111", "skipped/all_correct=1"),
    # an error without a right repair
    *(
        (
            (RIGHT, WRONG, WORSE), {"on_infeasible": rule},
            f"e1:000010 {error}r1:000010", f"e1:000010 {error}c0:111111",
            "infeasible=1 reference/sibling=1 rejected/wrong=2",
        )
        for rule, error in (("keep", "e2:1111111 "), ("zero", "e2:0000000 "), ("drop", ""))
    ),
    # a group of one is not trained on; a rollout that was dropped leaves no group behind that could shrink
    *(
        (
            (RIGHT, WORSE), {"on_infeasible": rule, "on_no_repair": alone}, pairs, gated,
            f"infeasible=1 reference/sibling=1 rejected/wrong=2{more}",
        )
        for rule, alone, pairs, gated, more in (
            # without any repair the group is the sampled one, that of the base objective
            ("keep", "sampled_group", "e1:1111111 c0:111111", "e1:1111111 c0:111111", ""),
            ("zero", "sampled_group", "e1:0000000 c0:111111", "e1:0000000 c0:111111", ""),
            ("drop", "sampled_group", "", None, ""),
            ("keep", "errors_only", "", None, " groups_of_one=1"),
            ("zero", "errors_only", "", None, " groups_of_one=1"),
            ("drop", "errors_only", "", None, ""),
            ("drop", "sampled_group", None, "", " groups_of_one=1"),
        )
    ),
    # a prompt that was sampled once: rollout.n=1, or the other samples failed
    ((RIGHT,), {}, "", "c0:111111", "skipped/all_correct=1"),
    ((WRONG,), {}, "", "e0:111111", "skipped/no_correct=1"),
    ((WRONG,), ANSWER, "e0:000010 r0:000010", "e0:000010", "reference/answer=1"),
    ((WORSE,), ANSWER, "", None, "infeasible=1 groups_of_one=1 reference/answer=1 rejected/wrong=2"),
    ((WORSE,), ANSWER, None, "e0:1111111", "infeasible=1 reference/answer=1 rejected/wrong=2"),
    # cut by the length limit: left out of repair it is as without a right repair
    (
        (RIGHT, WRONG, CUT_2), LEFT_OUT, "e1:000010 e2:11 r1:000010", "e1:000010 e2:11 c0:111111",
        "reference/sibling=1 truncated=1 truncated_left_out=1",
    ),
    (
        (RIGHT, WRONG, CUT_2), LEFT_OUT | {"on_infeasible": "drop"}, "e1:000010 r1:000010", "e1:000010 c0:111111",
        "reference/sibling=1 truncated=1 truncated_left_out=1",
    ),
    (
        (RIGHT, WRONG, CUT_2), {}, "e1:000010 e2:11 r1:000010 r2:111111", "e1:000010 e2:11 c0:111111",
        "reference/sibling=1 truncated=1",
    ),
    *(
        (
            (RIGHT, CUT_1), LEFT_OUT | {"on_infeasible": rule}, "", "e1:11 c0:111111",
            "skipped/no_repairable=1 truncated=1 truncated_left_out=1",
        )
        for rule in OnInfeasible
    ),
    # repairs that are none: the error itself, one cut by the length limit, one that changes what a tool wrote
    (
        (RIGHT, MISJUDGED, WRONG), {}, "e1:111 e2:000010 r2:000010", "e1:111 e2:000010 c0:111111",
        "infeasible=1 reference/sibling=1 rejected/identical=1",
    ),
    (
        (RIGHT, WRONG, "six"), {}, "e1:000010 e2:11 r1:000010", "e1:000010 e2:11 c0:111111",
        "infeasible=1 reference/sibling=1 rejected/unfinished=1",
    ),
    (
        (RIGHT, WITH_TOOL, WRONG), {}, "e1:11111 e2:000010 r2:000010", "e1:11111 e2:000010 c0:111111",
        "infeasible=1 reference/sibling=1 rejected/observation=3 with_observations=1",
    ),
    # edits of one kind: the position of the gap is marked on the other side
    *(
        (
            (RIGHT, wrong), {"method": method}, f"{error} {repair}", f"{error} c0:111111",
            f"pairs/{kind}=1 reference/sibling=1",
        )
        for method in Method
        for wrong, error, repair, kind in (
            ("two and two make", "e1:00001", "r1:000010", "insert_only"),
            ("two make not four", "e1:00100", "r1:0010", "delete_only"),
        )
    ),
    # a gap before a tool's token, which the policy did not write: an empty mask; the other side still teaches
    (
        (RIGHT, "ask TOOL"), {}, "e1:000 r1:0100", "e1:000 c0:111111",
        "empty_masks=1 pairs/insert_only=1 reference/sibling=1 with_observations=1",
    ),
    (
        (RIGHT, "four not TOOL"), {}, "e1:0100 r1:000", None,
        "empty_masks=1 pairs/delete_only=1 reference/sibling=1 with_observations=1",
    ),
    # steps are cut on token ids, whoever wrote them, and take in no tool's token
    (
        (RIGHT, "ask so two TOOL SAYS five so and"), {"gate": GateConfig(level="step")}, "e1:001001100 r1:001001100",
        "e1:001001100 c0:111111", "reference/sibling=1 with_observations=1",
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("mode", "rollouts", "options", "members", "counted"),
    [
        (mode, rollouts, options, members, counted)
        for rollouts, options, *by_mode, counted in CASES
        for mode, members in zip(MODES, by_mode, strict=True)
        if members is not None
    ],
)
def test_cases(mode: str, rollouts: tuple, options: dict, members: str, counted: str) -> None:
    group, fakes = request(*rollouts), Fakes(SAMPLES)
    result = run(group, fakes, mode=mode, **options)
    found = [f"{z.kind[0]}{z.key[2]}:" + "".join(f"{gate:g}" for gate in z.gate) for z in result.members]
    assert " ".join(found) == members
    assert counts(result) == {name: int(number) for name, number in (one.split("=") for one in counted.split())}
    # each rollout that is to be repaired was sent once, all with the same reference, and has its record
    assert [WORDS.decode(record.error.token_ids) for record in result.records] == [text for text, _ in fakes.asked]
    assert {record.reference for record in result.records} == {reference for _, reference in fakes.asked}
    if "skipped" in counted:
        assert not fakes.asked and not fakes.judged
    trained = {member.token_ids: member.gate.tolist() for member in result.members if member.kind == "error"}
    for record in result.records:
        assert (record.repair is not None) == (None in record.rejections)
        # the record says what was trained on
        assert list(record.error.gate) == trained.get(record.error.token_ids, [0] * len(record.error.token_ids))


@pytest.mark.parametrize("mode", MODES)
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


# ---- every alignment with every gate ---------------------------------------------------------------------------------

TEXTS = st.lists(st.sampled_from(WORDS.words[1:]), min_size=1, max_size=7).map(" ".join)
GATES = st.builds(
    GateConfig,
    kind=st.sampled_from(GateKind),
    alpha=st.sampled_from([0.0, 0.3]),
    tau=st.sampled_from(Tau),
    level=st.sampled_from(Level),
    segments=st.sampled_from(Segments),
)
OPTIONS = st.fixed_dictionaries(
    {
        "mode": st.sampled_from(MODES),
        "on_no_correct": st.sampled_from(OnNoCorrect),
        "on_infeasible": st.sampled_from(OnInfeasible),
        "on_no_repair": st.sampled_from(OnNoRepair),
        "repair_truncated": st.booleans(),
        "method": st.sampled_from(Method),
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
    assert not {"repair", "correct"} <= set(kinds)  # right rollouts stay where nothing was repaired, or only gated
    assert "repair" not in kinds or options["mode"] == "repair_pairs"
    assert "correct" not in kinds or options["mode"] == "gate_only" or options["on_no_repair"] == "sampled_group"
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
    assert PAIRS.load(PAIRS.dump(record)) == record
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


@settings(deadline=None)  # threads
@given(served_groups(), OPTIONS)
def test_long_responses_come_out_as_short_ones(served: tuple[GroupRequest, Fakes], options: dict) -> None:
    """They are worked on in threads."""
    group, fakes = served
    here = content(run(group, fakes, **dict(options)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(feedback, "LONG_RESPONSE", 1)
        assert content(run(group, fakes, **options)) == here


def test_the_event_loop_goes_on_beside_a_long_response(monkeypatch: pytest.MonkeyPatch) -> None:
    """Choosing the repair waits for something that only the loop can do."""
    monkeypatch.setattr(feedback, "LONG_RESPONSE", 1)
    seen, choose = threading.Event(), feedback.select_repair

    def waits(*arguments: Any, **named: Any) -> Any:
        assert seen.wait(60)
        return choose(*arguments, **named)

    monkeypatch.setattr(feedback, "select_repair", waits)

    async def both() -> GroupResult:
        asyncio.get_running_loop().call_later(0.01, seen.set)
        fakes = Fakes({WRONG: [sample(RIGHT)]})
        return await difference_feedback(request(RIGHT, WRONG), CONFIG, fakes.models())

    assert asyncio.run(both()).outcome.n_repaired == 1


def test_a_prompt_that_is_too_long_is_a_counted_rejection_and_the_others_are_repaired() -> None:
    class Short(Fakes):
        async def _repair(self, response: str, reference: str, seed: str) -> list[RepairSample]:
            if response == WORSE:
                raise PromptTooLong("9 tokens, the repair engine takes 8")
            return await super()._repair(response, reference, seed)

    result = run(request(RIGHT, WORSE, WRONG), Short({WRONG: [sample(RIGHT)]}))
    assert [member.key for member in result.members] == ["u_1_0", "u_2_0", "u_2_0"]
    assert counts(result) == {"infeasible": 1, "rejected/prompt_too_long": 1, "reference/sibling": 1}
    assert result.records[0].rejections == ("prompt_too_long",) and result.records[0].repair is None


@pytest.mark.parametrize("reason", [Rejection.NO_ANSWER, Rejection.OTHER_TOKENS])
def test_a_pair_without_samples_costs_its_own_repair_alone(reason: Rejection) -> None:
    class Unreliable(Fakes):
        async def _repair(self, response: str, reference: str, seed: str) -> list[RepairSample]:
            if response == WORSE:
                raise NoRepair(reason, "the endpoint is gone")
            return await super()._repair(response, reference, seed)

    result = run(request(RIGHT, WORSE, WRONG), Unreliable({WRONG: [sample(RIGHT)]}))
    without = run(request(RIGHT, WORSE, WRONG), Fakes({WRONG: [sample(RIGHT)], WORSE: [sample(WORSE + " so")]}))
    assert content(result)[0] == content(without)[0]  # as where its samples are wrong
    assert counts(result) == {"infeasible": 1, f"rejected/{reason}": 1, "reference/sibling": 1}


def test_each_rollout_has_a_seed_of_its_own_that_follows_from_the_prompts() -> None:
    def seeds(seed: str) -> dict[str, str]:
        fakes = Fakes({WRONG: [sample(RIGHT)], WORSE: [sample(RIGHT)]})
        run(request(WORSE, RIGHT, WRONG, seed=seed), fakes)
        return dict(zip((response for response, _ in fakes.asked), fakes.seeds, strict=True))

    assert seeds("0-3-7") == seeds("0-3-7") == {WORSE: "0-3-7-0", WRONG: "0-3-7-2"}
    assert not set(seeds("0-3-7").values()) & set(seeds("0-4-7").values())


def test_a_failure_of_the_repair_model_reaches_the_caller() -> None:
    class Broken(Fakes):
        async def _repair(self, response: str, reference: str, seed: str) -> list[RepairSample]:
            raise ConnectionError("engine gone")

    with pytest.raises(ConnectionError, match="engine gone"):
        run(request(RIGHT, WRONG), Broken({}))


def test_a_reward_outside_its_range_reaches_the_caller() -> None:
    class Harsh(Fakes):
        async def _judge(self, token_ids: Sequence[int]) -> Judgement:
            return Judgement(-1.0, -1.0)

    with pytest.raises(ValueError, match=r"reward -1.0: give the task reward in \[0, 1\]"):
        run(request(RIGHT, WRONG), Harsh({WRONG: [sample(RIGHT)]}))
