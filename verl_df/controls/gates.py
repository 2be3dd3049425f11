# SPDX-License-Identifier: Apache-2.0
"""Other gates on the same rows: each control is a function of one side of a pair."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from verl_df.controls.settings import USES_TRUTH, Control, ControlConfig
from verl_df.method.gates import segments
from verl_df.method.group import GroupMember, MemberKind


@dataclass(frozen=True, eq=False)
class Side:
    """One side of a pair, without the tokens that the policy did not write.

    Attributes:
        gate: of the method, float32 [T].
        wrong: the truly wrong tokens, bool [T]; none on the side of the repair, or where the truth is not known.
    """

    gate: np.ndarray
    wrong: np.ndarray


Regate = Callable[[Side, ControlConfig, np.random.Generator], np.ndarray]


def _same(side: Side, config: ControlConfig, rng: np.random.Generator) -> np.ndarray:
    return side.gate


def _ones(side: Side, config: ControlConfig, rng: np.random.Generator) -> np.ndarray:
    return np.ones_like(side.gate)


def _zeros(side: Side, config: ControlConfig, rng: np.random.Generator) -> np.ndarray:
    return np.zeros_like(side.gate)


def _random(side: Side, config: ControlConfig, rng: np.random.Generator) -> np.ndarray:
    return rng.permutation(side.gate)


def _random_spans(side: Side, config: ControlConfig, rng: np.random.Generator) -> np.ndarray:
    """The segments in a random order with random gaps: every arrangement without overlap can come out."""
    spans = [side.gate[start:end] for start, end in segments(side.gate > 0)]
    free = len(side.gate) - sum(map(len, spans))
    # stars and bars: which of the free tokens and spans, in a row, are spans
    places = np.sort(rng.choice(free + len(spans), size=len(spans), replace=False))
    moved, end = np.zeros_like(side.gate), 0
    for number, (place, span) in enumerate(zip(places, rng.permutation(len(spans)), strict=True)):
        start = int(place) - number + end
        moved[start : start + len(spans[span])] = spans[span]
        end += len(spans[span])
    return moved


def _complement(side: Side, config: ControlConfig, rng: np.random.Generator) -> np.ndarray:
    return 1 - side.gate


def _complement_random(side: Side, config: ControlConfig, rng: np.random.Generator) -> np.ndarray:
    unmarked = np.flatnonzero(side.gate == 0)
    size = min(len(unmarked), int((side.gate > 0).sum()))
    return _marked(len(side.gate), rng.choice(unmarked, size=size, replace=False))


def _shifted(side: Side, config: ControlConfig, rng: np.random.Generator) -> np.ndarray:
    """What would leave the response is cut off."""
    positions = np.flatnonzero(side.gate)
    inside = positions[(positions + config.shift >= 0) & (positions + config.shift < len(side.gate))]
    moved = np.zeros_like(side.gate)
    moved[inside + config.shift] = side.gate[inside]
    return moved


def _degraded(side: Side, config: ControlConfig, rng: np.random.Generator) -> np.ndarray:
    marked = np.flatnonzero(side.gate)
    kept = marked[rng.random(len(marked)) < config.recall]
    unmarked = np.flatnonzero(side.gate == 0)
    false = min(len(unmarked), round(len(kept) * (1 - config.precision) / config.precision))
    return _marked(len(side.gate), [*kept, *rng.choice(unmarked, size=false, replace=False)])


def _oracle(side: Side, config: ControlConfig, rng: np.random.Generator) -> np.ndarray:
    return side.wrong.astype(np.float32)


def _first_error(side: Side, config: ControlConfig, rng: np.random.Generator) -> np.ndarray:
    runs = segments(side.wrong)
    return _marked(len(side.gate), range(*runs[0]) if runs else ())


def _from_first_error(side: Side, config: ControlConfig, rng: np.random.Generator) -> np.ndarray:
    return np.maximum.accumulate(side.wrong).astype(np.float32)


def _marked(length: int, positions: Sequence[int] | np.ndarray | range) -> np.ndarray:
    gate = np.zeros(length, dtype=np.float32)
    gate[np.asarray(positions, dtype=np.int64)] = 1
    return gate


# of the error y, and of its repair ŷ
_SIDES: Mapping[Control, tuple[Regate, Regate]] = {
    Control.NO_GATE: (_ones, _ones),
    Control.RANDOM: (_random, _random),
    Control.RANDOM_SPANS: (_random_spans, _random_spans),
    Control.COMPLEMENT: (_complement, _complement),
    Control.COMPLEMENT_RANDOM: (_complement_random, _complement_random),
    Control.ORACLE_MASK: (_oracle, _same),
    Control.ERRORS_ONLY: (_same, _zeros),
    Control.REPAIRS_ONLY: (_zeros, _same),
    Control.GATE_ON_ERRORS: (_same, _ones),
    Control.GATE_ON_REPAIRS: (_ones, _same),
    Control.SHIFTED: (_shifted, _shifted),
    Control.DEGRADED_ORACLE: (_degraded, _degraded),
    Control.FIRST_ERROR: (_first_error, _same),
    Control.FROM_FIRST_ERROR: (_from_first_error, _same),
}


def control_gates(
    members: Sequence[GroupMember],
    config: ControlConfig,
    *,
    seed: str,
    truths: Mapping[str, np.ndarray],
) -> tuple[GroupMember, ...]:
    """The members of an optimised group with the gates of a control.

    Only members of a repaired pair are changed: an error without a repair has no mask to replace. An error whose truth
    is not known keeps the method's gate where the control needs it, and so does its repair.

    Args:
        members: as `build_group` returns them.
        config: which control, and its numbers.
        seed: of the group, which follows from the step and the prompt.
        truths: the truly wrong tokens, bool [T], by the key of the rollout.

    Returns:
        the same members in the same order; `members` itself where the control changes no gate.
    """
    if config.kind not in _SIDES:
        return tuple(members)
    places: dict[str, int] = {}  # keys differ between runs, the order of rollouts does not
    changed = []
    for member in members:
        place = places.setdefault(member.key, len(places))
        unknown = config.kind in USES_TRUTH and member.key not in truths
        if member.edit_distance is None or unknown:
            changed.append(member)
            continue
        rng = np.random.default_rng(list(f"{config.seed}/{seed}/{place}/{member.kind}".encode()))
        changed.append(_regated(member, config, truths.get(member.key), rng))
    return tuple(changed)


def _regated(
    member: GroupMember, config: ControlConfig, truth: np.ndarray | None, rng: np.random.Generator
) -> GroupMember:
    on_error, on_repair = _SIDES[config.kind]
    is_error = member.kind is MemberKind.ERROR
    policy = np.asarray(member.loss_mask, dtype=bool)
    wrong = truth[policy] if is_error and truth is not None else np.zeros(policy.sum(), dtype=bool)
    gate = np.zeros_like(member.gate)
    gate[policy] = (on_error if is_error else on_repair)(Side(member.gate[policy], wrong), config, rng)
    return replace(member, gate=gate)
