# SPDX-License-Identifier: Apache-2.0
"""Gates of the controls: same rows, and what each promises about its gate."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verl_df.controls.gates import control_gates
from verl_df.controls.settings import ANSWERS_AGAIN, IMITATES, USES_EXACT_REPAIR, USES_TRUTH, Control, ControlConfig
from verl_df.method.gates import segments
from verl_df.method.group import GroupMember, MemberKind

LENGTH = 12
# they leave a group's gates, or change them when all groups of a step are known
ROWS_ONLY = (
    Control.OFF,
    Control.SIBLING,
    Control.ORACLE_REPAIR,
    Control.OTHER_ROW,
    *sorted(ANSWERS_AGAIN),
    *sorted(IMITATES),
)
BITS = st.lists(st.booleans(), min_size=1, max_size=30)


def member(kind, gate, policy=None, key="y", distance=3):
    gate = np.array(gate, dtype=np.float32)
    policy = tuple(bool(value) for value in (np.ones(len(gate)) if policy is None else policy))
    return GroupMember(kind, key, tuple(range(len(gate))), 0.0, gate * np.array(policy), distance, policy)


def gates(control, *members, truth=None, seed="s", **numbers):
    truths = {} if truth is None else {"y": np.array(truth, dtype=bool)}
    changed = control_gates(members, ControlConfig(kind=control, **numbers), seed=seed, truths=truths)
    assert [one.key for one in changed] == [one.key for one in members]
    return [one.gate for one in changed]


def pair(mask, policy=None):
    return member(MemberKind.ERROR, mask, policy), member(MemberKind.REPAIR, mask[::-1], policy and policy[::-1])


@given(BITS, st.data(), st.sampled_from([kind for kind in Control if kind not in ROWS_ONLY]))
def test_every_gate_is_float32_in_the_unit_interval_and_zero_on_observations(mask, data, kind):
    policy = data.draw(st.lists(st.booleans(), min_size=len(mask), max_size=len(mask)))
    truth = data.draw(st.lists(st.booleans(), min_size=len(mask), max_size=len(mask)))
    for gate, one in zip(gates(kind, *pair(mask, policy), truth=truth), pair(mask, policy), strict=True):
        assert gate.dtype == np.float32 and gate.shape == one.gate.shape
        assert ((gate >= 0) & (gate <= 1)).all()
        assert not gate[~np.array(one.loss_mask)].any()


@given(BITS, st.sampled_from(ROWS_ONLY))
def test_controls_of_rows_leave_the_gates(mask, kind):
    sides = pair(mask)
    assert all(gate is one.gate for gate, one in zip(gates(kind, *sides), sides, strict=True))


@given(BITS, st.sampled_from([Control.RANDOM, Control.RANDOM_SPANS]))
def test_a_random_mask_has_the_density_of_the_mask(mask, kind):
    for gate, one in zip(gates(kind, *pair(mask)), pair(mask), strict=True):
        assert gate.sum() == one.gate.sum()


@given(BITS)
def test_random_spans_hold_the_segments(mask):
    (gate, _) = gates(Control.RANDOM_SPANS, *pair(mask))
    # neighbours may touch, and are one segment then: compare what they can be cut into
    assert len(segments(gate > 0)) <= len(segments(np.array(mask)))
    if len(segments(np.array(mask))) == 1:
        lengths = [end - start for start, end in segments(gate > 0)]
        assert lengths == [end - start for start, end in segments(np.array(mask))]


def test_random_spans_reach_every_arrangement_equally_often():
    found = {}
    for number in range(3000):
        (gate,) = gates(Control.RANDOM_SPANS, member(MemberKind.ERROR, [1, 1, 0, 1, 0]), seed=str(number))
        found[tuple(gate.astype(int))] = found.get(tuple(gate.astype(int)), 0) + 1
    # two free tokens and spans of 2 and 1: 4·3/2 places of the two, in two orders; some touch and look alike
    expected = {}
    for first, second in product(range(4), range(4)):
        if first != second:
            row = [None] * 4
            row[first], row[second] = 2, 1
            drawn = tuple(bit for length in row for bit in ([0] if length is None else [1] * length))
            expected[drawn] = expected.get(drawn, 0) + 3000 / 12
    assert found.keys() == expected.keys()
    assert all(abs(found[key] - count) < 5 * count**0.5 for key, count in expected.items())


@given(BITS)
def test_the_complement_is_the_rest(mask):
    for gate, one in zip(gates(Control.COMPLEMENT, *pair(mask)), pair(mask), strict=True):
        assert (gate + one.gate == 1).all()


@given(BITS)
def test_a_random_part_of_the_complement_has_the_size_of_the_mask_if_there_is_room(mask):
    (gate, _) = gates(Control.COMPLEMENT_RANDOM, *pair(mask))
    assert not (gate * np.array(mask)).any()
    assert gate.sum() == min(sum(mask), len(mask) - sum(mask))


@given(BITS, st.integers(-31, 31).filter(lambda shift: shift != 0))
def test_a_shifted_mask_loses_what_leaves_the_response(mask, shift):
    (gate, _) = gates(Control.SHIFTED, *pair(mask), shift=shift)
    expected = [0 <= at - shift < len(mask) and mask[at - shift] for at in range(len(mask))]
    assert gate.tolist() == expected


@pytest.mark.parametrize(
    ("kind", "error", "repair"),
    [
        (Control.NO_GATE, 1, 1),
        (Control.ERRORS_ONLY, None, 0),
        (Control.REPAIRS_ONLY, 0, None),
        (Control.GATE_ON_ERRORS, None, 1),
        (Control.GATE_ON_REPAIRS, 1, None),
    ],
)
def test_constant_sides(kind, error, repair):
    sides = pair([0, 1, 1, 0])
    for gate, one, constant in zip(gates(kind, *sides), sides, (error, repair), strict=True):
        assert (gate == (one.gate if constant is None else constant)).all()


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (Control.ORACLE_MASK, [0, 1, 1, 0, 0, 1]),
        (Control.FIRST_ERROR, [0, 1, 1, 0, 0, 0]),
        (Control.FROM_FIRST_ERROR, [0, 1, 1, 1, 1, 1]),
    ],
)
def test_gates_from_the_truth(kind, expected):
    sides = pair([1, 0, 0, 0, 0, 0])
    error, repair = gates(kind, *sides, truth=[0, 1, 1, 0, 0, 1])
    assert error.tolist() == expected
    assert repair.tolist() == sides[1].gate.tolist()


@pytest.mark.parametrize("kind", sorted(USES_TRUTH - {Control.ORACLE_REPAIR}))
def test_an_unknown_truth_keeps_the_gates_of_both_sides(kind):
    sides = pair([0, 1, 0, 0])
    assert all(gate is one.gate for gate, one in zip(gates(kind, *sides), sides, strict=True))


@pytest.mark.parametrize(("recall", "precision"), [(1.0, 1.0), (0.5, 1.0), (1.0, 0.5), (0.5, 0.25)])
def test_a_degraded_mask_has_the_asked_recall_and_precision(recall, precision):
    mask = np.tile([1, 0, 0, 0, 0, 0, 0, 0, 0, 0], 100)
    (gate, _) = gates(Control.DEGRADED_ORACLE, *pair(mask.tolist()), truth=mask, recall=recall, precision=precision)
    hits = (gate * mask).sum()
    assert abs(hits - 100 * recall) <= 25
    assert gate.sum() == hits + round(hits * (1 - precision) / precision)


def test_draws_follow_from_the_seeds_and_the_place_not_from_keys():
    mask = [1, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]
    first = [member(MemberKind.ERROR, mask, key=key) for key in ("a", "b")]
    again = [member(MemberKind.ERROR, mask, key=key) for key in ("c", "d")]
    drawn = gates(Control.RANDOM, *first)
    assert [gate.tolist() for gate in drawn] == [gate.tolist() for gate in gates(Control.RANDOM, *again)]
    assert drawn[0].tolist() != drawn[1].tolist()
    assert drawn[0].tolist() != gates(Control.RANDOM, *first, **{"seed": "other"})[0].tolist()


def test_members_without_a_pair_stay():
    alone = member(MemberKind.ERROR, np.ones(LENGTH), distance=None)
    (gate,) = gates(Control.REPAIRS_ONLY, alone)
    assert gate is alone.gate


def test_a_number_that_another_control_uses_is_refused():
    with pytest.raises(ValueError, match="df.control.shift=2 has no effect with kind=random: it is for shifted"):
        ControlConfig(kind="random", shift=2)


def test_exact_repairs_need_a_truth():
    assert USES_EXACT_REPAIR <= USES_TRUTH
