# SPDX-License-Identifier: Apache-2.0
"""Controls that look beyond one group, or at which rows are trained on: applied to all answers of a step."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from verl_df.adapters.policy_training.group_exchange import GroupAnswer, GroupRow, RepairRow
from verl_df.controls.borrowed import donors, scaled
from verl_df.controls.settings import Control, ControlConfig
from verl_df.method.feedback import RepairAttempt
from verl_df.method.metrics import Gated, regated


def control_answers(
    rows: Sequence[GroupRow], answers: Sequence[GroupAnswer], config: ControlConfig, threshold: float, step: int
) -> list[GroupAnswer]:
    """The optimised groups of a step under a control; the same ones under most.

    Args:
        rows: the groups as they were sent.
        answers: one for each.
        config: which control.
        threshold: a rollout with at least this r_task is right.
        step: of training, for the draw.
    """
    if config.kind is Control.OTHER_ROW:
        return _with_borrowed_gates(rows, answers, np.random.default_rng([config.seed, step]))
    if config.kind is Control.IMITATE_RIGHT:
        return [_right_alone(row, answer, threshold) for row, answer in zip(rows, answers, strict=True)]
    if config.kind in (Control.IMITATE_REPAIRS, Control.IMITATE_REPAIRS_MASKED):
        masked = config.kind is Control.IMITATE_REPAIRS_MASKED
        return [_repairs_alone(row, answer, masked) for row, answer in zip(rows, answers, strict=True)]
    return list(answers)


def _right_alone(row: GroupRow, answer: GroupAnswer, threshold: float) -> GroupAnswer:
    right = {rollout.key for rollout in row.request.rollouts if rollout.reward >= threshold}
    gates = {key: gate for key, gate in answer.gates.items() if key in right}
    return replace(answer, gates=gates, outcome=replace(answer.outcome, rows_error=0))


def _repairs_alone(row: GroupRow, answer: GroupAnswer, masked: bool) -> GroupAnswer:
    repairs = {} if masked else {one.source: np.ones_like(one.gate) for one in answer.repairs}
    errors = {one.key: np.zeros_like(one.gate) for one in answer.attempts}
    changed = _regated(row, answer, errors, repairs)
    return replace(changed, gates={}, outcome=replace(changed.outcome, rows_error=0, rows_correct=0))


@dataclass(frozen=True)
class _Pair:
    """A repaired pair: its prompt's place in the batch, and the policy's tokens on the side of the error, bool [T]."""

    group: int
    attempt: RepairAttempt
    policy: np.ndarray
    repair: RepairRow | None


def _with_borrowed_gates(
    rows: Sequence[GroupRow], answers: Sequence[GroupAnswer], rng: np.random.Generator
) -> list[GroupAnswer]:
    pairs = [
        pair
        for group, (row, answer) in enumerate(zip(rows, answers, strict=True))
        for pair in _pairs(group, row, answer)
    ]
    drawn = donors([rows[pair.group].request.uid for pair in pairs], rng)
    errors: list[dict[str, np.ndarray]] = [{} for _ in answers]
    repairs: list[dict[str, np.ndarray]] = [{} for _ in answers]
    for pair, place in zip(pairs, drawn, strict=True):
        if place is None:
            continue
        donor = pairs[place]
        errors[pair.group][pair.attempt.key] = _moved(donor.attempt.gate, donor.policy, pair.policy)
        if pair.repair is not None and donor.repair is not None:
            policy = pair.repair.loss_mask
            repairs[pair.group][pair.attempt.key] = _moved(donor.repair.gate, donor.repair.loss_mask, policy)
    return [_regated(row, answer, *gates) for row, answer, *gates in zip(rows, answers, errors, repairs, strict=True)]


def _pairs(group: int, row: GroupRow, answer: GroupAnswer) -> list[_Pair]:
    masks = {rollout.key: np.asarray(rollout.loss_mask, dtype=bool) for rollout in row.request.rollouts}
    by_source = {repair.source: repair for repair in answer.repairs}
    found = [one for one in answer.attempts if one.repair is not None and one.key in answer.gates]
    return [_Pair(group, one, masks[one.key], by_source.get(one.key)) for one in found]


def _moved(gate: np.ndarray, policy: np.ndarray, onto: np.ndarray) -> np.ndarray:
    moved = np.zeros(len(onto), dtype=np.float32)
    moved[onto] = scaled(gate[policy], int(onto.sum()))
    return moved


def _regated(
    row: GroupRow, answer: GroupAnswer, errors: dict[str, np.ndarray], repairs: dict[str, np.ndarray]
) -> GroupAnswer:
    """The answer with these gates in the batch, in the log of pairs and in what is counted."""
    new_repairs = tuple(replace(one, gate=repairs.get(one.source, one.gate)) for one in answer.repairs)
    attempts = tuple(_with_gates(one, errors, repairs) for one in answer.attempts)
    changed = replace(answer, gates=answer.gates | errors, repairs=new_repairs, attempts=attempts)
    sides = [Gated(pair.attempt.gate, pair.policy, pair.attempt.truth) for pair in _pairs(0, row, changed)]
    outcome = regated(answer.outcome, sides, [Gated(one.gate, one.loss_mask, None) for one in new_repairs])
    return replace(changed, outcome=outcome)


def _with_gates(attempt: RepairAttempt, errors: dict[str, np.ndarray], repairs: dict[str, np.ndarray]) -> RepairAttempt:
    repair = attempt.repair
    if repair is not None:
        repair = replace(repair, gate=repairs.get(attempt.key, repair.gate))
    return replace(attempt, gate=errors.get(attempt.key, attempt.gate), repair=repair)
