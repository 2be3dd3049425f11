# SPDX-License-Identifier: Apache-2.0
"""The groups before and after the choice of repairs."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verl_df.method.alignment import align
from verl_df.method.gates import GateConfig
from verl_df.method.group import (
    GroupConfig,
    GroupMode,
    Repair,
    Rollout,
    build_group,
    plan_group,
    split_group,
)

END = 99
BINARY = GateConfig()
MODES = (GroupMode.REPAIR_PAIRS, GroupMode.GATE_ONLY)


def rollout(key, reward, tokens=(1, 2, 3, END), finished=True, loss_mask=None):
    return Rollout(key, tuple(tokens), reward, loss_mask or (True,) * len(tokens), finished)


def repair(source, tokens, loss_mask=None):
    mask = loss_mask or (True,) * len(tokens)
    return Repair(source.key, tuple(tokens), 1.0, align(source.token_ids, tokens), mask)


def plan(rollouts, seed=0, *, answer="6", repair_truncated=True, **config):
    rng = random.Random(seed)
    return plan_group(
        rollouts, GroupConfig(**config), uid="u", answer=answer, repair_truncated=repair_truncated, rng=rng
    )


def build(planned, repairs, gate=BINARY, steps=None, **config):
    return build_group(planned, repairs, GroupConfig(**config), gate, steps=steps)


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


# --- the plan


def test_split_is_at_the_threshold():
    rollouts = [rollout("a", 0.4), rollout("b", 0.5), rollout("c", 1.0)]
    correct, erroneous = split_group(rollouts, 0.5)
    assert [r.key for r in correct] == ["b", "c"] and [r.key for r in erroneous] == ["a"]


def test_reference_is_uniform_and_does_not_depend_on_the_order():
    rollouts = [rollout("e", 0.0), *(rollout(f"c{i}", 1.0) for i in range(4))]
    drawn = [plan(rollouts, seed=seed).reference.given.key for seed in range(400)]
    assert drawn == [plan(rollouts[::-1], seed=seed).reference.given.key for seed in range(400)]
    assert all(70 < drawn.count(f"c{i}") < 130 for i in range(4))


def test_plan_input_is_checked():
    with pytest.raises(ValueError, match="prompt 'u': a group needs at least one rollout"):
        plan([])
    with pytest.raises(ValueError, match=r"unique in a group; repeated: \['a'\]"):
        plan([rollout("a", 0.0), rollout("a", 1.0)])
    with pytest.raises(ValueError, match="rollout 'a' has reward nan"):
        rollout("a", float("nan"))
    with pytest.raises(ValueError, match="4 tokens and a loss mask of 1"):
        rollout("a", 0.0, loss_mask=(True,))


# --- the optimised group


@given(planned_groups())
def test_group_sizes_and_members(group):
    rollouts, planned, repairs = group
    pairs = build(planned, repairs)
    gated = build(planned, repairs, mode="gate_only")
    n_errors = 0 if planned.skip else len(planned.erroneous)
    others = ["repair"] * len(repairs) if repairs else ["correct"] * (len(planned.correct) if n_errors else 0)
    assert [z.kind for z in pairs] == ["error"] * n_errors + others
    alone = build(planned, repairs, on_no_repair="errors_only")
    assert [z.kind for z in alone] == ["error"] * n_errors + ["repair"] * len(repairs)
    assert sorted(z.key for z in gated) == sorted(r.key for r in rollouts)
    assert all(z.kind != "repair" for z in gated)
    assert all((z.gate == 1).all() and z.edit_distance is None for z in gated if z.kind == "correct")
    for z in (*pairs, *gated):
        assert z.gate.dtype == np.float32 and z.gate.shape == (len(z.token_ids),)
        assert z.edit_distance == (repairs[z.key].alignment.distance if z.key in repairs else None)


@given(st.lists(planned_groups(), min_size=1, max_size=4), st.sampled_from(MODES), st.randoms())
def test_a_group_is_the_same_alone_and_among_others_in_any_order(groups, mode, shuffler):
    together = [summary(build(planned, repairs, mode=mode)) for _, planned, repairs in groups]
    order = list(range(len(groups)))
    shuffler.shuffle(order)
    alone = {i: summary(build(groups[i][1], dict(reversed(groups[i][2].items())), mode=mode)) for i in order}
    assert together == [alone[i] for i in range(len(groups))]


@given(planned_groups(), st.randoms())
def test_the_order_of_rollouts_only_orders_the_members(group, shuffler):
    rollouts, planned, repairs = group
    shuffled = list(rollouts)
    shuffler.shuffle(shuffled)
    again = plan(shuffled, repair_truncated=any(not r.finished for r in planned.to_repair))
    if planned.skip is not None:  # its repair_truncated cannot be told from the plan
        return
    assert sorted(summary(build(again, repairs))) == sorted(summary(build(planned, repairs)))


def test_build_input_is_checked():
    with pytest.raises(ValueError, match="needs steps"):
        build(plan([rollout("a", 0.0), rollout("c", 1.0)]), {}, GateConfig(level="step"))
    wrong, truncated = rollout("a", 0.0), rollout("t", 0.0, tokens=(1, 2), finished=False)
    planned = plan([wrong, truncated, rollout("c", 1.0)], repair_truncated=False)
    with pytest.raises(ValueError, match="'t'.*not asked for"):
        build(planned, {"t": repair(truncated, (1, 3))})
    with pytest.raises(ValueError, match="'a' has 4 tokens and an error mask of 2"):
        build(planned, {"a": Repair("a", (1, 3), 1.0, align((1, 2), (1, 3)), (True,) * 2)})
    with pytest.raises(ValueError, match="2 tokens and a mask of 3"):
        Repair("a", (1, 3), 1.0, align((1, 2), (1, 3, 4)), (True,) * 2)
    with pytest.raises(ValueError, match="2 tokens and a loss mask of 3"):
        Repair("a", (1, 3), 1.0, align((1, 2), (1, 3)), (True,) * 3)
