# SPDX-License-Identifier: Apache-2.0
"""Weights that need no model."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from verl_df.controls.settings import Control
from verl_df.lab.weight_audit.batch import Audited
from verl_df.lab.weight_audit.sources import CONTROLS, control_source, oracle, position
from verl_df.method.feedback import GroupResult
from verl_df.method.group import GroupMember, MemberKind
from verl_df.method.metrics import GroupOutcome

ROWS = st.lists(
    st.tuples(st.sampled_from("abc"), st.lists(st.booleans(), min_size=1, max_size=6)), min_size=1, max_size=8
)


def audited_rows(drawn: list[tuple[str, list[bool]]]) -> list[Audited]:
    return [Audited(str(number), uid, np.array(wrong)) for number, (uid, wrong) in enumerate(drawn)]


@given(ROWS)
def test_the_position_prior_is_of_other_prompts_only(drawn) -> None:
    rows = audited_rows(drawn)
    weights = position(rows).weights
    for row in rows:
        for place, weight in enumerate(weights[row.key]):
            others = [one.wrong[place] for one in rows if one.uid != row.uid and len(one.wrong) > place]
            assert weight == (np.mean(others) if others else 0)
        assert len(weights[row.key]) == len(row.wrong)


@given(ROWS)
def test_the_oracle_is_the_truth(drawn) -> None:
    rows = audited_rows(drawn)
    weights = oracle(rows).weights
    assert all((weights[row.key] == row.wrong).all() for row in rows)


def test_controls_change_the_gates_of_repaired_errors_only() -> None:
    gate = np.array([0, 1, 1, 0, 0, 1, 0, 0, 0, 0], dtype=np.float32)

    def member(kind: MemberKind, key: str, distance: int | None) -> GroupMember:
        own = np.ones_like(gate) if distance is None else gate
        return GroupMember(kind, key, tuple(range(10)), 0.0, own, distance, (True,) * 10)

    members = (
        member(MemberKind.ERROR, "repaired", 3),
        member(MemberKind.ERROR, "infeasible", None),
        member(MemberKind.CORRECT, "right", None),
    )
    result = GroupResult("x", members, {}, GroupOutcome(3, 2), ())
    found = {kind: control_source(kind, [result], seed=0).weights for kind in CONTROLS}
    assert all(
        set(gates) == {"repaired", "infeasible"} and (gates["infeasible"] == 1).all() for gates in found.values()
    )
    assert found[Control.RANDOM]["repaired"].sum() == found[Control.RANDOM_SPANS]["repaired"].sum() == 3
    assert (found[Control.RANDOM]["repaired"] != gate).any()
    assert (found[Control.COMPLEMENT]["repaired"] == 1 - gate).all()
    assert (found[Control.NO_GATE]["repaired"] == 1).all()
