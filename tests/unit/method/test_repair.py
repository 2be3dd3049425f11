# SPDX-License-Identifier: Apache-2.0
"""The choice of a repair."""

from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verl_df.method import repair as repair_module
from verl_df.method.alignment import Method, align
from verl_df.method.repair import Candidate, Rejection, rejected_unscored, select_repair

END = 99


def candidate(tokens, reward=1.0, finished=True, placeholder=False):
    return Candidate(tuple(tokens), reward, finished, placeholder)


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
@pytest.mark.parametrize("method", Method)
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
