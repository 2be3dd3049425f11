# SPDX-License-Identifier: Apache-2.0
"""The choice of a repair, and the groups before and after it."""

import random
from itertools import groupby

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verl_df.method import repair as repair_module
from verl_df.method.alignment import METHODS, align
from verl_df.method.gates import GateConfig, split_steps
from verl_df.method.group import GROUP_MODES, Repair, Rollout, SkipReason, build_group, plan_group, split_group
from verl_df.method.repair import Candidate, Rejection, rejected_unscored, select_repair

END = 99
OPTIONS = {"uid": "u", "threshold": 1.0, "answer": "6", "on_no_correct": "skip", "repair_truncated": True}
BUILD = {"gate_config": GateConfig(), "on_infeasible": "keep", "group_mode": "repair_pairs"}


def rollout(key, reward, tokens=(1, 2, 3, END), finished=True, loss_mask=None):
    return Rollout(key, tuple(tokens), reward, loss_mask or (True,) * len(tokens), finished)


def candidate(tokens, reward=1.0, finished=True, placeholder=False):
    return Candidate(tuple(tokens), reward, finished, placeholder)


def repair(source, tokens, loss_mask=None):
    mask = loss_mask or (True,) * len(tokens)
    return Repair(source.key, tuple(tokens), 1.0, align(source.token_ids, tokens), mask)


def plan(rollouts, seed=0, **options):
    return plan_group(rollouts, rng=random.Random(seed), **{**OPTIONS, **options})


def summary(members):
    return [(z.kind, z.key, z.token_ids, z.reward, z.gate.tolist(), z.edit_distance, z.loss_mask) for z in members]


@st.composite
def planned_groups(draw):
    """A group with a plan and repairs for some of the errors, without ties to any other group."""
    size = draw(st.integers(1, 6))
    tokens = st.lists(st.integers(0, 5), min_size=1, max_size=8)
    rewards = draw(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=size, max_size=size))
    rollouts = [rollout(f"k{i}", reward, draw(tokens), draw(st.booleans())) for i, reward in enumerate(rewards)]
    planned = plan(rollouts, seed=draw(st.integers(0, 5)), repair_truncated=draw(st.booleans()))
    repaired = [error for error in planned.to_repair if draw(st.booleans())]
    return rollouts, planned, {error.key: repair(error, draw(tokens)) for error in repaired}


# --- choosing a repair


def test_selection_takes_the_nearest_right_candidate():
    y = (1, 2, 3, 4, END)
    far, near, wrong = (9, 9, 9, 4, END), (1, 2, 7, 4, END), (1, 2, 3, 5, END)
    selection = select_repair(y, [candidate(far), candidate(near), candidate(wrong, reward=0.0)], threshold=1.0)
    assert (selection.chosen, selection.distances) == (1, (3, 1, None))
    assert selection.rejections == (None, None, Rejection.WRONG)
    assert selection.alignment.error_mask.tolist() == [False, False, True, False, False]


def test_first_of_equally_near_candidates_is_taken():
    candidates = [candidate((8, 8, 3)), candidate((7, 2, 3)), candidate((1, 7, 3))]
    assert select_repair((1, 2, 3), candidates, threshold=1.0).chosen == 1


def test_every_reason_to_reject():
    y = (1, 2, END)
    candidates = [
        candidate((1, 3, END), reward=0.5),
        candidate((1, 3, 4), reward=None, finished=False),
        candidate((1, 3, END), reward=None, placeholder=True),
        candidate((), reward=None),
        candidate(y, reward=1.0),
        candidate(y, reward=0.0),
    ]
    selection = select_repair(y, candidates, threshold=1.0)
    assert selection.rejections == (
        Rejection.WRONG,
        Rejection.UNFINISHED,
        Rejection.PLACEHOLDER,
        Rejection.EMPTY,
        Rejection.IDENTICAL,
        Rejection.WRONG,
    )
    assert selection.chosen is None and selection.alignment is None
    assert selection.distances == (None, None, None, None, 0, None)


@given(
    st.lists(st.integers(0, 3), max_size=8),
    st.lists(
        st.builds(
            candidate,
            st.lists(st.integers(0, 3), max_size=8),
            st.sampled_from([0.0, 1.0]),
            st.booleans(),
            st.booleans(),
        ),
        max_size=5,
    ),
)
def test_selection_is_the_minimum_over_the_feasible_set(y, candidates):
    selection = select_repair(y, candidates, threshold=1.0)
    feasible = [i for i, reason in enumerate(selection.rejections) if reason is None]
    assert feasible == [
        i
        for i, c in enumerate(candidates)
        if c.reward == 1.0 and rejected_unscored(c) is None and c.token_ids != tuple(y)
    ]
    if feasible:
        assert selection.distances[selection.chosen] == min(selection.distances[i] for i in feasible)
        assert selection.alignment.distance == selection.distances[selection.chosen]
    else:
        assert selection.chosen is None


def test_threshold_and_method_reach_the_selection():
    y, half = (1, 2, 3), candidate((2, 3, 1), reward=0.5)
    assert select_repair(y, [half], threshold=1.0).chosen is None
    lcs = select_repair(y, [half], threshold=0.5, method="lcs")
    assert lcs.chosen == 0 and {edit.kind for edit in lcs.alignment.edits} == {"insert", "delete"}


def test_candidates_are_checked():
    with pytest.raises(ValueError, match="candidate 0 has no reward"):
        select_repair((1,), [candidate((2,), reward=None)], threshold=1.0)
    with pytest.raises(ValueError, match=r"reward -1.0.*\[0, 1\]"):
        candidate((1,), reward=-1.0)


# --- observation tokens in y


def as_ids(text):
    return tuple(ord(token) for token in text)


@pytest.mark.parametrize(
    ("y", "observed", "y_hat", "kept"),
    [
        # capitals are what a tool wrote
        ("abTUcd", "..xx..", "aXTUcd", "..xx.."),
        ("abTUcd", "..xx..", "abTUXd", "..xx.."),
        ("abTUcd", "..xx..", "aTUc", ".xx."),
        ("abTUcd", "..xx..", "abXTUXcd", "...xx..."),  # insertions beside the run
        ("TUcd", "xx..", "XTUc", ".xx."),
        ("abTU", "..xx", "aXTUc", "..xx."),
        ("abTUcVd", "..xx.x.", "abTUXVd", "..xx.x."),
        ("aTbUc", ".x.x.", "aTUc", ".xx."),  # what the policy wrote between two runs may go
        ("abTUcd", "..xx..", "abTXcd", None),  # replaced
        ("abTUcd", "..xx..", "abTcd", None),  # deleted
        ("abTUcd", "..xx..", "abcd", None),
        ("abTUcd", "..xx..", "abTXUcd", None),  # inserted inside the run
        ("abTU", "..xx", "abTXU", None),
        ("abTUcVd", "..xx.x.", "abTUcXd", None),
        ("abTUcd", "..xx..", "XYZ", None),
    ],
)
@pytest.mark.parametrize("method", METHODS)
def test_a_repair_keeps_what_a_tool_wrote(method, y, observed, y_hat, kept):
    mask = tuple(mark == "." for mark in observed)
    selection = select_repair(as_ids(y), [candidate(as_ids(y_hat))], threshold=1.0, loss_mask=mask, method=method)
    if kept is None:
        assert (selection.rejections, selection.chosen) == ((Rejection.OBSERVATION,), None)
        assert selection.alignment is None and selection.loss_mask is None
        assert selection.distances[0] > 0  # right, but not feasible
    else:
        assert (selection.rejections, selection.chosen) == ((None,), 0)
        assert selection.loss_mask == tuple(mark == "." for mark in kept)


def test_the_nearest_of_those_that_keep_observations_is_taken():
    y, mask = as_ids("abTUcd"), (True, True, False, False, True, True)
    texts = ("abTXcd", "XYTUZd", "aXTUYd", "abTUcd")
    selection = select_repair(y, [candidate(as_ids(text)) for text in texts], threshold=1.0, loss_mask=mask)
    assert selection.rejections == (Rejection.OBSERVATION, None, None, Rejection.IDENTICAL)
    assert (selection.chosen, selection.distances) == (2, (1, 3, 2, 0))
    assert select_repair(y, [candidate(as_ids(text)) for text in texts], threshold=1.0).chosen == 0


@given(st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=1, max_size=8), st.data())
def test_the_chosen_repair_holds_each_run_of_observations_in_one_piece(marked, data):
    y, loss_mask = tuple(token for token, _ in marked), tuple(policy for _, policy in marked)
    tokens = st.lists(st.integers(0, 2), min_size=1, max_size=8)
    candidates = [candidate(ids) for ids in data.draw(st.lists(tokens, min_size=1, max_size=4))]
    selection = select_repair(y, candidates, threshold=1.0, loss_mask=loss_mask)
    free = select_repair(y, candidates, threshold=1.0)
    if all(loss_mask):
        assert (selection.chosen, selection.rejections) == (free.chosen, free.rejections)
    for reason, free_reason in zip(selection.rejections, free.rejections, strict=True):
        assert reason in (free_reason, Rejection.OBSERVATION)
    if selection.chosen is None:
        return
    y_hat = candidates[selection.chosen].token_ids
    assert len(selection.loss_mask) == len(y_hat)
    runs, runs_hat = observation_runs(y, loss_mask), observation_runs(y_hat, selection.loss_mask)
    # what the policy wrote between two runs may go, and they touch; nothing else may happen to them
    assert [token for run in runs for token in run] == [token for run in runs_hat for token in run]
    ends = {sum(map(len, runs[:n])) for n in range(len(runs) + 1)}
    assert {sum(map(len, runs_hat[:n])) for n in range(len(runs_hat) + 1)} <= ends


def observation_runs(token_ids, loss_mask):
    pairs = groupby(zip(token_ids, loss_mask, strict=True), key=lambda pair: pair[1])
    return [[token for token, _ in run] for policy, run in pairs if not policy]


def test_without_observation_tokens_only_the_chosen_candidate_is_aligned(monkeypatch):
    calls = []
    monkeypatch.setattr(repair_module, "align", lambda *ids, **options: calls.append(ids) or align(*ids, **options))
    candidates = [candidate(as_ids(text)) for text in ("abX", "XYc", "Xbc")]
    select_repair(as_ids("abc"), candidates, threshold=1.0, loss_mask=(True,) * 3)
    assert calls == [(as_ids("abc"), as_ids("abX"))]
    select_repair(as_ids("abc"), candidates, threshold=1.0, loss_mask=(True, False, True))
    assert len(calls) == 1 + 3  # each once


def test_the_loss_mask_of_y_is_checked():
    with pytest.raises(ValueError, match="y has 2 tokens and a loss mask of 1"):
        select_repair((1, 2), [candidate((1, 3))], threshold=1.0, loss_mask=(True,))


# --- the plan


def test_split_is_at_the_threshold():
    rollouts = [rollout("a", 0.4), rollout("b", 0.5), rollout("c", 1.0)]
    correct, erroneous = split_group(rollouts, 0.5)
    assert [r.key for r in correct] == ["b", "c"] and [r.key for r in erroneous] == ["a"]


def test_plan_of_a_mixed_group():
    rollouts = [rollout("a", 0.0), rollout("b", 1.0), rollout("c", 0.0, finished=False)]
    planned = plan(rollouts)
    assert planned.skip is None and planned.reference is rollouts[1]
    assert [r.key for r in planned.to_repair] == ["a", "c"]
    assert planned.left_out == ()
    without = plan(rollouts, repair_truncated=False)
    assert [r.key for r in without.to_repair] == ["a"] and [r.key for r in without.left_out] == ["c"]


@pytest.mark.parametrize(
    ("rewards", "finished", "skip"),
    [
        ((1.0, 1.0), (True, True), SkipReason.ALL_CORRECT),
        ((0.0, 0.0), (True, True), SkipReason.NO_CORRECT),
        ((0.0, 1.0), (False, True), SkipReason.NO_REPAIRABLE),
        ((0.0, 0.0), (False, False), SkipReason.NO_CORRECT),
    ],
)
def test_skipped_groups(rewards, finished, skip):
    rollouts = [rollout(f"k{i}", r, finished=f) for i, (r, f) in enumerate(zip(rewards, finished, strict=True))]
    planned = plan(rollouts, repair_truncated=False)
    assert (planned.skip, planned.to_repair, planned.reference) == (skip, (), None)
    assert planned.reference_kind is None
    assert bool(planned.left_out) == (skip is SkipReason.NO_REPAIRABLE)
    assert build_group(planned, {}, **BUILD) == ()
    members = build_group(planned, {}, **{**BUILD, "group_mode": "gate_only", "on_infeasible": "zero"})
    assert len(members) == 2 and all((z.gate == 1).all() for z in members)


def test_annotated_answer_stands_in_for_a_sibling():
    wrong = [rollout("a", 0.0), rollout("b", 0.0)]
    planned = plan(wrong, on_no_correct="annotated_answer")
    assert (planned.reference, planned.reference_kind) == ("6", "answer")
    for missing in (None, ""):
        with pytest.raises(ValueError, match="prompt 'u': no rollout is correct.*the row has no answer"):
            plan(wrong, on_no_correct="annotated_answer", answer=missing)
    mixed = [*wrong, rollout("c", 1.0)]
    planned = plan(mixed, on_no_correct="annotated_answer", answer=None)
    assert planned.reference is mixed[2] and planned.reference_kind == "sibling"


def test_reference_is_uniform_and_does_not_depend_on_the_order():
    rollouts = [rollout("e", 0.0), *(rollout(f"c{i}", 1.0) for i in range(4))]
    drawn = [plan(rollouts, seed=seed).reference.key for seed in range(400)]
    assert drawn == [plan(rollouts[::-1], seed=seed).reference.key for seed in range(400)]
    assert all(70 < drawn.count(f"c{i}") < 130 for i in range(4))


def test_plan_input_is_checked():
    with pytest.raises(ValueError, match="prompt 'u': a group needs at least one rollout"):
        plan([])
    with pytest.raises(ValueError, match=r"unique in a group; repeated: \['a'\]"):
        plan([rollout("a", 0.0), rollout("a", 1.0)])
    with pytest.raises(ValueError, match="did you mean 'skip'"):
        plan([rollout("a", 0.0)], on_no_correct="skp")
    with pytest.raises(ValueError, match="rollout 'a' has reward nan"):
        rollout("a", float("nan"))
    with pytest.raises(ValueError, match="4 tokens and a loss mask of 1"):
        rollout("a", 0.0, loss_mask=(True,))


# --- the optimised group


def test_repair_pairs_of_a_mixed_group():
    wrong, other, right = rollout("a", 0.0), rollout("b", 0.0), rollout("c", 1.0)
    planned = plan([wrong, right, other])
    members = build_group(planned, {"a": repair(wrong, (1, 7, 8, 3, END))}, **BUILD)
    assert summary(members) == [
        ("error", "a", wrong.token_ids, 0.0, [0, 1, 0, 0], 2, (True,) * 4),
        ("error", "b", other.token_ids, 0.0, [1, 1, 1, 1], None, (True,) * 4),  # infeasible: the base objective
        ("repair", "a", (1, 7, 8, 3, END), 1.0, [0, 1, 1, 0, 0], 2, (True,) * 5),
    ]


def test_infeasible_errors():
    planned = plan([rollout("a", 0.0), rollout("c", 1.0)])
    for mode in GROUP_MODES:
        kept, zero, dropped = (
            build_group(planned, {}, **{**BUILD, "group_mode": mode, "on_infeasible": choice})
            for choice in ("keep", "zero", "drop")
        )
        assert kept[0].key == zero[0].key == "a"
        assert (kept[0].gate == 1).all() and (zero[0].gate == 0).all()
        assert all(z.key != "a" for z in dropped)


@given(planned_groups())
def test_group_sizes_and_members(group):
    rollouts, planned, repairs = group
    pairs = build_group(planned, repairs, **BUILD)
    gated = build_group(planned, repairs, **{**BUILD, "group_mode": "gate_only"})
    n_errors = 0 if planned.skip else len(planned.erroneous)
    assert [z.kind for z in pairs] == ["error"] * n_errors + ["repair"] * len(repairs)
    assert sorted(z.key for z in gated) == sorted(r.key for r in rollouts)
    assert all(z.kind != "repair" for z in gated)
    assert all((z.gate == 1).all() and z.edit_distance is None for z in gated if z.kind == "correct")
    for z in (*pairs, *gated):
        assert z.gate.dtype == np.float32 and z.gate.shape == (len(z.token_ids),)
        assert z.edit_distance == (repairs[z.key].alignment.distance if z.key in repairs else None)


@given(st.lists(planned_groups(), min_size=1, max_size=4), st.sampled_from(GROUP_MODES), st.randoms())
def test_a_group_is_the_same_alone_and_among_others_in_any_order(groups, mode, shuffler):
    options = {**BUILD, "group_mode": mode}
    together = [summary(build_group(planned, repairs, **options)) for _, planned, repairs in groups]
    order = list(range(len(groups)))
    shuffler.shuffle(order)
    alone = {i: summary(build_group(groups[i][1], dict(reversed(groups[i][2].items())), **options)) for i in order}
    assert together == [alone[i] for i in range(len(groups))]


@given(planned_groups(), st.randoms())
def test_the_order_of_rollouts_only_orders_the_members(group, shuffler):
    rollouts, planned, repairs = group
    shuffled = list(rollouts)
    shuffler.shuffle(shuffled)
    again = plan(shuffled, repair_truncated=any(not r.finished for r in planned.to_repair))
    if planned.skip is not None:  # its repair_truncated cannot be told from the plan
        return
    assert sorted(summary(build_group(again, repairs, **BUILD))) == sorted(
        summary(build_group(planned, repairs, **BUILD))
    )


def test_tool_tokens_of_an_error_are_not_gated():
    # an insertion before a tool token, which the gap reading marks; a deletion before one
    wrong = rollout("a", 0.0, tokens=(1, 5, 2, 5, END), loss_mask=(True, False, True, False, True))
    planned = plan([wrong, rollout("c", 1.0)])
    fixed_mask = (True, True, False, False, True)
    error, fixed = build_group(planned, {"a": repair(wrong, (1, 7, 5, 5, END), fixed_mask)}, **BUILD)
    assert align(wrong.token_ids, fixed.token_ids).error_mask.tolist() == [False, True, True, False, False]
    assert error.gate.tolist() == [0, 0, 1, 0, 0] and fixed.gate.tolist() == [0, 1, 0, 0, 0]
    assert (error.loss_mask, fixed.loss_mask) == (wrong.loss_mask, fixed_mask)


def test_step_level_uses_the_texts_of_each_side():
    texts = {1: "a", 2: "\n\n", 3: "b", 4: "c", END: "<end>"}
    wrong = rollout("a", 0.0, tokens=(1, 2, 3, 3, END))
    planned = plan([wrong, rollout("c", 1.0)])
    options = {**BUILD, "gate_config": GateConfig(level="step")}
    repairs = {"a": repair(wrong, (1, 2, 3, 2, 4, END))}
    error, fixed = build_group(planned, repairs, steps=lambda ids: split_steps([texts[i] for i in ids]), **options)
    assert error.gate.tolist() == [0, 0, 1, 1, 1]
    assert fixed.gate.tolist() == [0, 0, 1, 1, 1, 1]
    with pytest.raises(ValueError, match="needs steps"):
        build_group(planned, repairs, **options)


def test_build_input_is_checked():
    wrong, truncated = rollout("a", 0.0), rollout("t", 0.0, tokens=(1, 2), finished=False)
    planned = plan([wrong, truncated, rollout("c", 1.0)], repair_truncated=False)
    with pytest.raises(ValueError, match="'t'.*not asked for"):
        build_group(planned, {"t": repair(truncated, (1, 3))}, **BUILD)
    with pytest.raises(ValueError, match="'a' has 4 tokens and an error mask of 2"):
        build_group(planned, {"a": Repair("a", (1, 3), 1.0, align((1, 2), (1, 3)), (True,) * 2)}, **BUILD)
    with pytest.raises(ValueError, match="2 tokens and a mask of 3"):
        Repair("a", (1, 3), 1.0, align((1, 2), (1, 3, 4)), (True,) * 2)
    with pytest.raises(ValueError, match="2 tokens and a loss mask of 3"):
        Repair("a", (1, 3), 1.0, align((1, 2), (1, 3)), (True,) * 3)
    with pytest.raises(ValueError, match="did you mean 'repair_pairs'"):
        build_group(planned, {}, **{**BUILD, "group_mode": "repair_pair"})
    with pytest.raises(ValueError, match="on_infeasible='ignore'"):
        build_group(planned, {}, **{**BUILD, "on_infeasible": "ignore"})
