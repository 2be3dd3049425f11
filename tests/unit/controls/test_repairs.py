# SPDX-License-Identifier: Apache-2.0
"""Candidates of the controls, through the whole method for one prompt."""

import asyncio
from functools import partial

import numpy as np
import pytest

from verl_df.controls.repairs import control_candidates
from verl_df.controls.settings import Control
from verl_df.method.feedback import FeedbackConfig, GroupRequest, Judgement, Models, difference_feedback
from verl_df.method.group import Rollout

RIGHT = 9  # a response is right when it ends with this token
GROUP = [(1, 2, 3, 4), (1, 7, 3, RIGHT), (5, 2, 6, RIGHT), (1, 2, 8, RIGHT)]


def feedback(kind, exact=lambda token_ids: None):
    async def judge(token_ids):
        return Judgement(float(token_ids[-1] == RIGHT), float(token_ids[-1] == RIGHT))

    async def repair(response, reference, seed):
        raise AssertionError("the repair model was asked")

    rollouts = tuple(
        Rollout(str(number), ids, float(ids[-1] == RIGHT), (True,) * len(ids), True) for number, ids in enumerate(GROUP)
    )
    models = Models(
        repair=repair,
        judge=judge,
        decode=lambda ids: " ".join(map(str, ids)),
        steps=lambda ids: np.zeros(len(ids), dtype=int),
        true_errors=lambda ids: None,
        candidates=partial(control_candidates, kind, exact_repair=exact),
    )
    return asyncio.run(difference_feedback(GroupRequest("x", rollouts, None, "0"), FeedbackConfig(), models))


def test_the_nearest_right_sibling_is_the_repair():
    result = feedback(Control.SIBLING)
    # siblings 1 and 3 differ from y in two tokens each: the first sampled is taken
    assert [(one.kind, one.token_ids) for one in result.members] == [("error", GROUP[0]), ("repair", GROUP[1])]
    assert result.outcome.n_candidates == 3
    assert [one.gate.tolist() for one in result.members] == [[0, 1, 0, 1], [0, 1, 0, 1]]


def test_the_exact_repair_is_the_only_candidate():
    result = feedback(Control.ORACLE_REPAIR, lambda ids: [*ids[:-1], RIGHT])
    assert [one.token_ids for one in result.members] == [GROUP[0], (1, 2, 3, RIGHT)]
    assert result.members[0].gate.tolist() == [0, 0, 0, 1]


def test_without_an_exact_repair_the_model_is_asked():
    with pytest.raises(AssertionError, match="the repair model was asked"):
        feedback(Control.ORACLE_REPAIR)


def test_where_right_rollouts_are_imitated_nothing_is_asked():
    result = feedback(Control.IMITATE_RIGHT)
    assert result.outcome.n_repaired == 0 and result.outcome.n_candidates == 0
