# SPDX-License-Identifier: Apache-2.0
"""One prompt's group: what to repair (Eq. 11-13), and the group that is optimised (Eq. 14-17, 20, 26).

`plan_group` comes before the repair model is called, `build_group` after. Both are functions of one group, so a group
may be served while other prompts are still being decoded, or together with many, with the same result.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Literal, get_args

import numpy as np
from pydantic import Field

from verl_df.io.validation import Choice, checked
from verl_df.method.alignment import Alignment
from verl_df.method.checks import check_reward
from verl_df.method.gates import GateConfig, Level, build_gate

ReferenceKind = Literal["sibling", "answer", "preferred"]
"""What a reference is: a right rollout of the group, the annotated answer, or a preferred response of the row."""
REFERENCE_KINDS = get_args(ReferenceKind)

StepSplitter = Callable[[Sequence[int]], np.ndarray]
"""Token ids [T] of a response to step numbers, int [T]: decode each token, then `gates.split_steps`."""


class GroupMode(Choice):
    """What becomes of the group."""

    REPAIR_PAIRS = "repair_pairs"
    GATE_ONLY = "gate_only"
    OFF = "off"


class ReferenceFrom(Choice):
    """Where a reference comes from."""

    SIBLING = "sibling"
    PREFERRED = "preferred"


class OnNoCorrect(Choice):
    """What to do without a right rollout."""

    SKIP = "skip"
    ANNOTATED_ANSWER = "annotated_answer"


class OnInfeasible(Choice):
    """What to do with an error that has no right repair."""

    KEEP = "keep"
    DROP = "drop"
    ZERO = "zero"


class OnNoRepair(Choice):
    """What to do where no error of a group has a right repair."""

    SAMPLED_GROUP = "sampled_group"
    ERRORS_ONLY = "errors_only"


class Weight(Choice):
    """What counts the same in a mean over sequences."""

    PROMPT = "prompt"
    ROW = "row"


class MemberKind(StrEnum):
    """What a trajectory of the optimised group is."""

    ERROR = "error"
    REPAIR = "repair"
    CORRECT = "correct"


@checked
class GroupConfig:
    """How the optimised group G is built (Eq. 11-17).

    Attributes:
        mode: `repair_pairs`: G = wrong rollouts and their repairs, right ones leave (Eq. 16);
            `gate_only`: nothing is added or removed, wrong rollouts are gated (Eq. 26);
            `off`: no repair model, a gate of ones: verl's own objective; the method is not called.
        reward_threshold: τ_r, a rollout with r_task ≥ τ_r is right (Eq. 12; paper: 1).
        reference: a, which the repair model is shown: a right `sibling` of the group (Eq. 13), or the `preferred`
            response of the row (`extra_info.preferred_response`), with and without a right rollout.
        on_no_correct: no right rollout to serve as reference: `skip` the prompt (paper) or use the `annotated_answer`.
        on_infeasible: no right repair: `keep` the wrong rollout with a gate of one (our reading), `drop` it, or `zero`
            its gate.
        on_no_repair: no error of the group has a right repair: `sampled_group`: right rollouts stay, so that the group
            is the base objective's (our reading); `errors_only`: they leave as in every group, all rewards are alike,
            and the group trains nothing.
        weight: under a mean over sequences each `prompt` counts the same (Eq. 22: 1/|G| Σ_z for each x), or each `row`,
            which gives prompts with more errors more weight. A mean over tokens counts tokens either way.
        reference_seed: seed of the choice of the reference a ~ Unif(G_cor) (Eq. 13).
    """

    mode: GroupMode = GroupMode.REPAIR_PAIRS
    reward_threshold: Annotated[float, Field(gt=0, le=1)] = 1.0
    reference: ReferenceFrom = ReferenceFrom.SIBLING
    on_no_correct: OnNoCorrect = OnNoCorrect.SKIP
    on_infeasible: OnInfeasible = OnInfeasible.KEEP
    on_no_repair: OnNoRepair = OnNoRepair.SAMPLED_GROUP
    weight: Weight = Weight.PROMPT
    reference_seed: int = 0


@dataclass(frozen=True)
class Rollout:
    """One sampled trajectory y of the group G′ (Eq. 11).

    key: the adapter's row key, opaque, unique in the group. token_ids: response tokens including the end token, cut to
    the response length. reward: r_task in [0, 1], without shaping. loss_mask: one bool per token, False for tool and
    observation tokens. finished: ends with an end-of-sequence token (False: cut by the length limit).

    Raises: ValueError for a reward outside [0, 1] or a loss mask of another length.
    """

    key: str
    token_ids: tuple[int, ...]
    reward: float
    loss_mask: tuple[bool, ...]
    finished: bool

    def __post_init__(self) -> None:
        check_reward(f"rollout {self.key!r}", self.reward)
        if len(self.loss_mask) != len(self.token_ids):
            raise ValueError(
                f"rollout {self.key!r} has {len(self.token_ids)} tokens and a loss mask of {len(self.loss_mask)}"
            )


class SkipReason(StrEnum):
    """Why a group asks for no repair."""

    ALL_CORRECT = "all_correct"
    NO_CORRECT = "no_correct"
    NO_REPAIRABLE = "no_repairable"  # every error is cut by the length limit, and such errors are excluded


@dataclass(frozen=True)
class Reference:
    """a, with what it is: a rollout for a sibling, else a text of the row."""

    kind: ReferenceKind
    given: Rollout | str


@dataclass(frozen=True)
class GroupPlan:
    """What to ask of the repair model.

    correct, erroneous: the split of Eq. 12. to_repair: those of `erroneous` that need a repair; empty when skipped.
    left_out: those that would be repaired if the length limit had not cut them. reference: a; None when skipped.
    skip: None, or why.
    """

    correct: tuple[Rollout, ...]
    erroneous: tuple[Rollout, ...]
    to_repair: tuple[Rollout, ...]
    left_out: tuple[Rollout, ...]
    reference: Reference | None
    skip: SkipReason | None


@dataclass(frozen=True)
class Repair:
    """The chosen repair ŷ of one erroneous rollout (Eq. 14), with its alignment from y to ŷ.

    loss_mask: one bool per token, False for the observation tokens that it keeps from y.

    Raises: ValueError when the alignment's repair mask or the loss mask has another length than token_ids.
    """

    source_key: str
    token_ids: tuple[int, ...]
    reward: float
    alignment: Alignment
    loss_mask: tuple[bool, ...]

    def __post_init__(self) -> None:
        if len(self.loss_mask) != len(self.token_ids):
            raise ValueError(
                f"the repair of {self.source_key!r} has {len(self.token_ids)} tokens and a loss mask of "
                f"{len(self.loss_mask)}"
            )
        if len(self.alignment.repair_mask) != len(self.token_ids):
            raise ValueError(
                f"the repair of {self.source_key!r} has {len(self.token_ids)} tokens and a mask of "
                f"{len(self.alignment.repair_mask)}: cut the repair to the response length before aligning it"
            )


@dataclass(frozen=True, eq=False)
class GroupMember:
    """One trajectory z of the optimised group.

    kind: correct ones are there in gate-only mode. key: of its rollout; for a repair that of the rollout it
    repairs. gate: g_{z,t} of Eq. 20, float32 [len(token_ids)]. edit_distance: A_edit(y, ŷ) in tokens, of both sides of
    a repaired pair; None for a member without a pair. loss_mask: one bool per token, False for tool and observation
    tokens.

    A gate from a mask is 0 on tokens the policy did not generate. A constant gate 1 is 1 on these too: the loss leaves
    them out either way, and multiplying by 1 keeps the base algorithm bit for bit.
    """

    kind: MemberKind
    key: str
    token_ids: tuple[int, ...]
    reward: float
    gate: np.ndarray
    edit_distance: int | None
    loss_mask: tuple[bool, ...]


def split_group(rollouts: Sequence[Rollout], threshold: float) -> tuple[tuple[Rollout, ...], tuple[Rollout, ...]]:
    """(G_cor, G_err) by r ≥ τ_r and r < τ_r (Eq. 12), each in the order given."""
    correct = tuple(rollout for rollout in rollouts if rollout.reward >= threshold)
    erroneous = tuple(rollout for rollout in rollouts if rollout.reward < threshold)
    return correct, erroneous


def plan_group(
    rollouts: Sequence[Rollout],
    config: GroupConfig,
    *,
    uid: str,
    answer: str | None,
    preferred: str | None = None,
    repair_truncated: bool,
    rng: random.Random,
) -> GroupPlan:
    """Split one prompt's rollouts, and take the reference: a ~ Unif(G_cor) (Eq. 12, 13), or a text of the row.

    Args:
        rollouts: G′ (Eq. 11).
        config: threshold, where the reference comes from, and what to do without a right rollout.
        uid: of the prompt, for error texts.
        answer: the annotated answer, which serves only where `config.on_no_correct` says so.
        preferred: the preferred response, which serves only where `config.reference` says so.
        repair_truncated: whether rollouts cut by the length limit are repaired.
        rng: give each group its own, seeded from the prompt, and the draw does not depend on which group comes first;
            nor does it depend on the order of the rollouts.

    Raises:
        ValueError: an empty group, a repeated key, or an annotated answer or preferred response that is missing.
    """
    _check_keys(uid, rollouts)
    correct, erroneous = split_group(rollouts, config.reward_threshold)
    to_repair = tuple(rollout for rollout in erroneous if repair_truncated or rollout.finished)
    left_out = tuple(rollout for rollout in erroneous if not (repair_truncated or rollout.finished))
    skip = None
    if not erroneous:
        skip = SkipReason.ALL_CORRECT
    elif not correct and config.reference is ReferenceFrom.SIBLING and config.on_no_correct is OnNoCorrect.SKIP:
        skip, left_out = SkipReason.NO_CORRECT, ()
    elif not to_repair:
        skip = SkipReason.NO_REPAIRABLE
    if skip is not None:
        return GroupPlan(correct, erroneous, (), left_out, None, skip)
    if config.reference is ReferenceFrom.PREFERRED:
        reference = _preferred(uid, preferred)
    else:
        reference = _sibling_or_answer(uid, correct, answer, rng)
    return GroupPlan(correct, erroneous, to_repair, left_out, reference, None)


def build_group(
    plan: GroupPlan,
    repairs: Mapping[str, Repair],
    config: GroupConfig,
    gate: GateConfig,
    *,
    steps: StepSplitter | None = None,
) -> tuple[GroupMember, ...]:
    """The optimised group with its gates.

    With repair pairs G = G_err ∪ G_rep, errors first, correct rollouts gone (Eq. 14-17, 20); gate-only keeps correct
    rollouts with g = 1, gates the errors and adds nothing (Eq. 26). Without any repair the correct rollouts stay too,
    where errors do (our reading, `on_no_repair`). A plan with a skip reason gives an empty group, or in gate-only mode
    all of its rollouts with g = 1. With "keep" or "drop" a group may come out with a single member or none, which a
    group-relative advantage cannot use.

    Args:
        plan: of the group.
        repairs: by the key of the rollout they repair. An error without one, left out of repair or infeasible, has no
            mask: `config.on_infeasible` says what becomes of it.
        config: mode, and what to do with an infeasible error.
        gate: how a mask becomes a gate.
        steps: needed at step level.

    Raises:
        ValueError: a repair nobody asked for or of another length than its error, or step level without `steps`.
    """
    if gate.level is Level.STEP and steps is None:
        raise ValueError("gate level='step' needs steps, a function from token ids to step numbers")
    _check_repairs(plan, repairs)
    correct = [_ungated(MemberKind.CORRECT, rollout) for rollout in plan.correct]
    if plan.skip is not None:
        errors = [_ungated(MemberKind.ERROR, rollout) for rollout in plan.erroneous]
        return (*errors, *correct) if config.mode is GroupMode.GATE_ONLY else ()
    errors = []
    for rollout in plan.erroneous:
        if rollout.key in repairs:
            errors.append(_gated_error(rollout, repairs[rollout.key], gate, steps))
        elif config.on_infeasible is not OnInfeasible.DROP:
            errors.append(
                _ungated(MemberKind.ERROR, rollout, value=1.0 if config.on_infeasible is OnInfeasible.KEEP else 0.0)
            )
    sampled = not repairs and errors and config.on_no_repair is OnNoRepair.SAMPLED_GROUP
    if config.mode is GroupMode.GATE_ONLY or sampled:
        return (*errors, *correct)
    ordered = [repairs[rollout.key] for rollout in plan.erroneous if rollout.key in repairs]
    return (*errors, *(_gated_repair(repair, gate, steps) for repair in ordered))


def _check_keys(uid: str, rollouts: Sequence[Rollout]) -> None:
    if not rollouts:
        raise ValueError(f"prompt {uid!r}: a group needs at least one rollout")
    keys = [rollout.key for rollout in rollouts]
    repeated = sorted({key for key in keys if keys.count(key) > 1})
    if repeated:
        raise ValueError(f"prompt {uid!r}: rollout keys must be unique in a group; repeated: {repeated}")


def _preferred(uid: str, preferred: str | None) -> Reference:
    if not preferred:
        raise ValueError(f"prompt {uid!r}: reference='preferred', but the row has no preferred response")
    return Reference("preferred", preferred)


def _sibling_or_answer(uid: str, correct: Sequence[Rollout], answer: str | None, rng: random.Random) -> Reference:
    if correct:
        return Reference("sibling", rng.choice(sorted(correct, key=lambda rollout: rollout.key)))
    if not answer:
        raise ValueError(
            f"prompt {uid!r}: no rollout is correct and on_no_correct='annotated_answer', but the row has no answer; "
            "add it to the data or set on_no_correct='skip'"
        )
    return Reference("answer", answer)


def _check_repairs(plan: GroupPlan, repairs: Mapping[str, Repair]) -> None:
    asked = {rollout.key: rollout for rollout in plan.to_repair}
    for key, repair in repairs.items():
        if key != repair.source_key or key not in asked:
            raise ValueError(f"repair under key {key!r} (source {repair.source_key!r}) was not asked for by the plan")
        if len(repair.alignment.error_mask) != len(asked[key].token_ids):
            raise ValueError(
                f"rollout {key!r} has {len(asked[key].token_ids)} tokens and an error mask of "
                f"{len(repair.alignment.error_mask)}: align the repair with this rollout's token ids"
            )


def _ungated(kind: MemberKind, rollout: Rollout, value: float = 1.0) -> GroupMember:
    gate = np.full(len(rollout.token_ids), value, dtype=np.float32)
    return GroupMember(kind, rollout.key, rollout.token_ids, rollout.reward, gate, None, rollout.loss_mask)


def _gated_error(rollout: Rollout, repair: Repair, config: GateConfig, steps: StepSplitter | None) -> GroupMember:
    gate = build_gate(
        repair.alignment.error_mask,
        config,
        step_ids=None if config.level is Level.TOKEN else steps(rollout.token_ids),
        loss_mask=rollout.loss_mask,
    )
    distance = repair.alignment.distance
    return GroupMember(
        MemberKind.ERROR, rollout.key, rollout.token_ids, rollout.reward, gate, distance, rollout.loss_mask
    )


def _gated_repair(repair: Repair, config: GateConfig, steps: StepSplitter | None) -> GroupMember:
    step_ids = None if config.level is Level.TOKEN else steps(repair.token_ids)
    alignment, mask = repair.alignment, repair.loss_mask
    gate = build_gate(alignment.repair_mask, config, step_ids=step_ids, loss_mask=mask)
    return GroupMember(
        MemberKind.REPAIR, repair.source_key, repair.token_ids, repair.reward, gate, alignment.distance, mask
    )
