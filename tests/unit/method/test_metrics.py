# SPDX-License-Identifier: Apache-2.0
"""Metrics on numbers worked out by hand."""

import random
from collections import Counter

import numpy as np
import pytest

from verl_df.method.gates import GateConfig
from verl_df.method.group import GroupConfig, Repair, Rollout, SkipReason, build_group, plan_group
from verl_df.method.metrics import GroupOutcome, MaskTruth, WorkSeconds, aggregate, mask_truth, summarize_group
from verl_df.method.repair import Candidate, Rejection, select_repair

OUTCOMES = [
    GroupOutcome(
        n_rollouts=4,
        n_erroneous=3,
        n_truncated=2,
        n_truncated_left_out=1,
        n_with_observations=3,
        n_asked=3,
        n_repaired=2,
        n_insert_only=1,
        reference_kind="sibling",
        edit_ratios=(0.1, 0.3),
        error_densities=(0.2, 0.4),
        repair_densities=(0.1, 0.2),
        empty_masks=1,
        n_candidates=6,
        rejections=Counter({Rejection.WRONG: 2, Rejection.UNFINISHED: 1}),
        truth=MaskTruth(tp=3, fp=1, fn=2),
        rows_error=3,
        rows_repair=2,
        rows_correct=3,
        work=WorkSeconds(queue=0.5, decode=2.0, judge=1.0, alignment=0.25),
        seconds=1.0,
    ),
    GroupOutcome(4, 4, n_truncated=1, skip=SkipReason.NO_CORRECT, seconds=3.0),
    GroupOutcome(4, 4, n_asked=2, reference_kind="answer", group_of_one=True, n_candidates=2, seconds=2.0),
    GroupOutcome(
        n_rollouts=4,
        n_erroneous=1,
        n_asked=1,
        n_repaired=1,
        n_delete_only=1,
        reference_kind="sibling",
        edit_ratios=(0.5,),
        error_densities=(0.6,),
        repair_densities=(0.6,),
        n_candidates=2,
        rejections=Counter({Rejection.WRONG: 1}),
        truth=MaskTruth(tp=1, fp=1, fn=0),
        rows_error=1,
        rows_repair=1,
        work=WorkSeconds(decode=1.0, alignment=0.5),
        seconds=2.0,
    ),
]


def test_aggregate_by_hand():
    assert aggregate(OUTCOMES) == pytest.approx(
        {
            "df/prompts": 4,
            "df/rollouts": 16,
            "df/erroneous": 12,
            "df/truncated": 3,
            "df/truncated_left_out": 1,
            "df/with_observations": 3,
            "df/asked": 6,
            "df/repaired": 3,
            "df/infeasible": 3,
            "df/pairs/insert_only": 1,
            "df/pairs/delete_only": 1,
            "df/groups_of_one": 1,
            "df/reference/sibling": 2,
            "df/reference/answer": 1,
            "df/reference/preferred": 0,
            "df/candidates": 10,
            "df/error_rate": 12 / 16,
            "df/repair_feasible_rate": 3 / 6,
            "df/candidate_correct_rate": 6 / 10,
            "df/edit_ratio/mean": 0.3,
            "df/mask_density/error": 0.4,
            "df/mask_density/repair": 0.3,
            "df/empty_masks": 1,
            "df/skipped/all_correct": 0,
            "df/skipped/no_correct": 1,
            "df/skipped/no_repairable": 0,
            "df/rejected/wrong": 3,
            "df/rejected/unfinished": 1,
            "df/rejected/placeholder": 0,
            "df/rejected/empty": 0,
            "df/rejected/identical": 0,
            "df/rejected/observation": 0,
            "df/rejected/prompt_too_long": 0,
            "df/rejected/no_answer": 0,
            "df/rejected/other_tokens": 0,
            "df/mask_truth/precision": 4 / 6,
            "df/mask_truth/recall": 4 / 6,
            "df/mask_truth/f1": 4 / 6,
            "df/truth_known": 0,
            "df/rows/error": 4,
            "df/rows/repair": 3,
            "df/rows/correct": 3,
            "df/queue_seconds": 0.5,
            "df/decode_seconds": 3.0,
            "df/judge_seconds": 1.0,
            "df/alignment_seconds": 0.75,
            "df/group_seconds/mean": 2.0,
            "df/group_seconds/max": 3.0,
        }
    )


def test_order_of_groups_does_not_matter():
    assert aggregate(reversed(OUTCOMES)) == pytest.approx(aggregate(OUTCOMES))


def test_undefined_metrics_are_absent_and_counts_are_not():
    skipped = aggregate([GroupOutcome(4, 0, skip=SkipReason.ALL_CORRECT)])
    assert skipped["df/error_rate"] == 0 and skipped["df/skipped/all_correct"] == 1
    for name in ("repair_feasible_rate", "candidate_correct_rate", "edit_ratio/mean", "mask_density/error"):
        assert f"df/{name}" not in skipped
    assert not [name for name in skipped if name.startswith("df/mask_truth")]
    nothing = aggregate([])
    assert set(nothing.values()) == {0.0} and "df/error_rate" not in nothing and "df/rejected/wrong" in nothing
    assert all(type(value) is float for value in aggregate(OUTCOMES).values())


def test_mask_truth_counts_tokens():
    gate, truth = np.array([0.9, 0.1, 0.0, 0.0], dtype=np.float32), np.array([1, 0, 1, 0], dtype=bool)
    assert mask_truth(gate, truth) == MaskTruth(tp=1, fp=1, fn=1)
    with pytest.raises(ValueError, match="shape"):
        mask_truth(gate, truth[:2])


def test_outcome_of_a_whole_group():
    end = 99
    wrong = Rollout("a", (1, 2, 3, end), 0.0, (True, True, False, True), True)
    hopeless = Rollout("b", (4, 4, end), 0.0, (True,) * 3, True)
    cut = Rollout("d", (1, 2), 0.0, (True, True), False)
    right = Rollout("c", (1, 7, 8, end), 1.0, (True,) * 4, True)
    plan = plan_group(
        [wrong, hopeless, cut, right],
        GroupConfig(),
        uid="u",
        answer=None,
        repair_truncated=False,
        rng=random.Random(0),
    )
    candidates = {
        "a": [Candidate((1, 7, 8, 3, end), 1.0, True, False), Candidate((), None, True, False)],
        "b": [Candidate((4, 5, end), 0.0, True, False)] * 2,
    }
    selections = {
        r.key: select_repair(r.token_ids, candidates[r.key], threshold=1.0, loss_mask=r.loss_mask)
        for r in plan.to_repair
    }
    chosen = selections["a"]
    repairs = {"a": Repair("a", (1, 7, 8, 3, end), 1.0, chosen.alignment, chosen.loss_mask)}
    members = build_group(plan, repairs, GroupConfig(), GateConfig())
    truth = {"a": np.array([0, 1, 1, 0], dtype=bool), "b": np.array([1, 1, 0], dtype=bool)}
    outcome = summarize_group(plan, selections, members, truth=truth, work=WorkSeconds(1, 2, 3, 4), seconds=1.5)
    assert outcome == GroupOutcome(
        n_rollouts=4,
        n_erroneous=3,
        n_truncated=1,
        n_truncated_left_out=1,
        n_with_observations=1,
        n_asked=2,
        n_repaired=1,
        reference_kind="sibling",
        edit_ratios=(0.5,),
        error_densities=(1 / 3,),  # of three trainable tokens; the tool token is no part of it
        repair_densities=(2 / 4,),  # of four: the tool token is in the repair too
        n_candidates=4,
        rejections=Counter({Rejection.EMPTY: 1, Rejection.WRONG: 2}),
        truth=MaskTruth(tp=1, fp=0, fn=1),  # b has no mask and does not count
        n_truth_known=2,
        rows_error=3,
        rows_repair=1,
        work=WorkSeconds(1, 2, 3, 4),
        seconds=1.5,
    )
    assert summarize_group(plan, selections, members).truth is None
