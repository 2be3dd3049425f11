# SPDX-License-Identifier: Apache-2.0
"""What a step's groups came to, as flat `df/*` metrics.

Counts are always present. A mean or a rate over nothing is left out rather than reported as 0.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from verl_df.method.group import REFERENCE_KINDS, GroupMember, GroupPlan, MemberKind, ReferenceKind, SkipReason
from verl_df.method.repair import Rejection, Selection


@dataclass(frozen=True)
class MaskTruth:
    """Tokens of erroneous rollouts: marked and truly wrong (tp), marked only (fp), truly wrong only (fn)."""

    tp: int = 0
    fp: int = 0
    fn: int = 0

    def __add__(self, other: "MaskTruth") -> "MaskTruth":
        return MaskTruth(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn)


@dataclass(frozen=True)
class WorkSeconds:
    """Seconds that wrong rollouts took, added up over them although they are repaired side by side.

    queue: until it is the samples' turn. decode: of the samples. judge: of their rewards. alignment: of choosing and
    aligning.
    """

    queue: float = 0.0
    decode: float = 0.0
    judge: float = 0.0
    alignment: float = 0.0

    def __add__(self, other: "WorkSeconds") -> "WorkSeconds":
        return WorkSeconds(
            self.queue + other.queue,
            self.decode + other.decode,
            self.judge + other.judge,
            self.alignment + other.alignment,
        )


@dataclass(frozen=True)
class GroupOutcome:
    """One prompt's group.

    Of the rollouts: n_truncated, cut by the length limit; n_truncated_left_out, wrong ones that ask for no repair for
    that reason; n_with_observations, with tool or observation tokens. n_asked: erroneous rollouts sent to the repair
    model; n_repaired: those with a chosen repair; n_insert_only, n_delete_only: repairs whose edits are all insertions,
    or all deletions. reference_kind: None where no repair is asked for. group_of_one: a single member was left, and the
    prompt is not trained on.

    edit_ratios: of each repair, A_edit/|y|. error_densities, repair_densities: share of a member's trainable tokens
    with a gate above 0, members of repaired pairs only. empty_masks: such members whose gate is 0 on every token.
    rejections: of the `n_candidates` candidates, by reason. truth: None where the task knows no true mask;
    n_truth_known: erroneous rollouts, of those asked for, whose true mask is known. rows_error, rows_repair,
    rows_correct: members of the optimised group by kind. work: what its wrong rollouts took;
    seconds: from the group's arrival to its optimised form.
    """

    n_rollouts: int
    n_erroneous: int
    n_truncated: int = 0
    n_truncated_left_out: int = 0
    n_with_observations: int = 0
    n_asked: int = 0
    n_repaired: int = 0
    n_insert_only: int = 0
    n_delete_only: int = 0
    reference_kind: ReferenceKind | None = None
    skip: SkipReason | None = None
    group_of_one: bool = False
    edit_ratios: tuple[float, ...] = ()
    error_densities: tuple[float, ...] = ()
    repair_densities: tuple[float, ...] = ()
    empty_masks: int = 0
    n_candidates: int = 0
    rejections: Counter[Rejection] = field(default_factory=Counter)
    truth: MaskTruth | None = None
    n_truth_known: int = 0
    rows_error: int = 0
    rows_repair: int = 0
    rows_correct: int = 0
    work: WorkSeconds = WorkSeconds()
    seconds: float = 0.0


@dataclass(frozen=True, eq=False)
class Gated:
    """One side of a repaired pair that is trained on.

    Attributes:
        gate: float32 [T].
        loss_mask: bool [T], False for tool and observation tokens.
        truth: the truly wrong tokens of an error, bool [T]; None where they are not known.
    """

    gate: np.ndarray
    loss_mask: np.ndarray
    truth: np.ndarray | None


_COUNTS: dict[str, Callable[[GroupOutcome], float]] = {
    "df/rollouts": lambda group: group.n_rollouts,
    "df/erroneous": lambda group: group.n_erroneous,
    "df/truncated": lambda group: group.n_truncated,
    "df/truncated_left_out": lambda group: group.n_truncated_left_out,
    "df/with_observations": lambda group: group.n_with_observations,
    "df/asked": lambda group: group.n_asked,
    "df/repaired": lambda group: group.n_repaired,
    "df/infeasible": lambda group: group.n_asked - group.n_repaired,
    "df/pairs/insert_only": lambda group: group.n_insert_only,
    "df/pairs/delete_only": lambda group: group.n_delete_only,
    "df/groups_of_one": lambda group: group.group_of_one,
    "df/candidates": lambda group: group.n_candidates,
    "df/empty_masks": lambda group: group.empty_masks,
    "df/truth_known": lambda group: group.n_truth_known,
    "df/rows/error": lambda group: group.rows_error,
    "df/rows/repair": lambda group: group.rows_repair,
    "df/rows/correct": lambda group: group.rows_correct,
    "df/queue_seconds": lambda group: group.work.queue,
    "df/decode_seconds": lambda group: group.work.decode,
    "df/judge_seconds": lambda group: group.work.judge,
    "df/alignment_seconds": lambda group: group.work.alignment,
}


def mask_truth(gate: np.ndarray, truth: np.ndarray | Sequence[bool]) -> MaskTruth:
    """Compare a gate [T] (marked: above 0) with the true error mask, bool [T]. Raises: ValueError if lengths differ."""
    marked, wrong = np.asarray(gate) > 0, np.asarray(truth, dtype=bool)
    if marked.shape != wrong.shape:
        raise ValueError(f"the gate has shape {marked.shape} and the true mask {wrong.shape}")
    return MaskTruth(int((marked & wrong).sum()), int((marked & ~wrong).sum()), int((~marked & wrong).sum()))


def summarize_group(
    plan: GroupPlan,
    selections: Mapping[str, Selection],
    members: Sequence[GroupMember],
    *,
    group_of_one: bool = False,
    truth: Mapping[str, np.ndarray] | None = None,
    work: WorkSeconds = WorkSeconds(),
    seconds: float = 0.0,
) -> GroupOutcome:
    """The outcome of one group from what the steps of the method returned.

    selections: by the key of the rollout that was to be repaired. members: what is trained on. truth: true error masks,
    bool [T], by rollout key; errors whose truth is unknown, or that have no mask, are not counted. The others are those
    of `GroupOutcome`.
    """
    rollouts = (*plan.correct, *plan.erroneous)
    paired = [z for z in members if z.edit_distance is not None]
    errors = [z for z in paired if z.kind is MemberKind.ERROR]
    repaired = [z for z in paired if z.kind is MemberKind.REPAIR]
    truth = truth or {}
    alignments = [selection.alignment for selection in selections.values() if selection.alignment is not None]
    reasons = [reason for selection in selections.values() for reason in selection.rejections]
    outcome = GroupOutcome(
        n_rollouts=len(rollouts),
        n_erroneous=len(plan.erroneous),
        n_truncated=sum(not rollout.finished for rollout in rollouts),
        n_truncated_left_out=len(plan.left_out),
        n_with_observations=sum(not all(rollout.loss_mask) for rollout in rollouts),
        n_asked=len(plan.to_repair),
        n_repaired=len(alignments),
        n_insert_only=sum(alignment.edits_only("insert") for alignment in alignments),
        n_delete_only=sum(alignment.edits_only("delete") for alignment in alignments),
        reference_kind=None if plan.reference is None else plan.reference.kind,
        skip=plan.skip,
        group_of_one=group_of_one,
        edit_ratios=tuple(alignment.edit_ratio for alignment in alignments),
        n_candidates=len(reasons),
        rejections=Counter(reason for reason in reasons if reason is not None),
        n_truth_known=len(truth),
        rows_error=sum(z.kind is MemberKind.ERROR for z in members),
        rows_repair=sum(z.kind is MemberKind.REPAIR for z in members),
        rows_correct=sum(z.kind is MemberKind.CORRECT for z in members),
        work=work,
        seconds=seconds,
    )
    sides = [[Gated(z.gate, np.asarray(z.loss_mask), truth.get(z.key)) for z in side] for side in (errors, repaired)]
    return regated(outcome, *sides)


def regated(outcome: GroupOutcome, errors: Sequence[Gated], repairs: Sequence[Gated]) -> GroupOutcome:
    """The outcome with what is counted of the gates of its repaired pairs, by side."""
    known = [mask_truth(one.gate, one.truth) for one in errors if one.truth is not None]
    return replace(
        outcome,
        error_densities=tuple(map(_density, errors)),
        repair_densities=tuple(map(_density, repairs)),
        empty_masks=sum(not one.gate.any() for one in (*errors, *repairs)),
        truth=sum(known, MaskTruth()) if known else None,
    )


def aggregate(outcomes: Iterable[GroupOutcome]) -> dict[str, float]:
    """Metrics of any number of groups; see `GroupOutcome` for what is counted.

    Rates: df/error_rate (erroneous rollouts of all), df/repair_feasible_rate (repaired of those asked for),
    df/candidate_correct_rate (candidates not rejected), all pooled over groups, as are precision, recall and f1 of
    df/mask_truth. Means are over repairs, df/group_seconds/* over groups.
    """
    groups = list(outcomes)
    metrics = _counts(groups) | _mask_truth_metrics(groups)
    feasible = metrics["df/candidates"] - _total(groups, lambda group: group.rejections.total())
    _put_ratio(metrics, "df/error_rate", metrics["df/erroneous"], metrics["df/rollouts"])
    _put_ratio(metrics, "df/repair_feasible_rate", metrics["df/repaired"], metrics["df/asked"])
    _put_ratio(metrics, "df/candidate_correct_rate", feasible, metrics["df/candidates"])
    _put_mean(metrics, "df/edit_ratio/mean", [value for group in groups for value in group.edit_ratios])
    _put_mean(metrics, "df/mask_density/error", [value for group in groups for value in group.error_densities])
    _put_mean(metrics, "df/mask_density/repair", [value for group in groups for value in group.repair_densities])
    _put_mean(metrics, "df/group_seconds/mean", [group.seconds for group in groups])
    if groups:
        metrics["df/group_seconds/max"] = float(max(group.seconds for group in groups))
    return metrics


def _total(groups: Sequence[GroupOutcome], value: Callable[[GroupOutcome], float]) -> float:
    return float(sum(value(group) for group in groups))


def _counts(groups: Sequence[GroupOutcome]) -> dict[str, float]:
    metrics = {"df/prompts": float(len(groups))}
    metrics |= {name: _total(groups, value) for name, value in _COUNTS.items()}
    for kind in REFERENCE_KINDS:
        metrics[f"df/reference/{kind}"] = float(sum(group.reference_kind == kind for group in groups))
    for reason in SkipReason:
        metrics[f"df/skipped/{reason.value}"] = float(sum(group.skip is reason for group in groups))
    for rejection in Rejection:
        metrics[f"df/rejected/{rejection.value}"] = float(sum(group.rejections[rejection] for group in groups))
    return metrics


def _mask_truth_metrics(groups: Sequence[GroupOutcome]) -> dict[str, float]:
    total = sum((group.truth for group in groups if group.truth is not None), MaskTruth())
    metrics: dict[str, float] = {}
    _put_ratio(metrics, "df/mask_truth/precision", total.tp, total.tp + total.fp)
    _put_ratio(metrics, "df/mask_truth/recall", total.tp, total.tp + total.fn)
    _put_ratio(metrics, "df/mask_truth/f1", 2 * total.tp, 2 * total.tp + total.fp + total.fn)
    return metrics


def _put_ratio(metrics: dict[str, float], name: str, numerator: float, denominator: float) -> None:
    if denominator:
        metrics[name] = numerator / denominator


def _put_mean(metrics: dict[str, float], name: str, values: Sequence[float]) -> None:
    if values:
        metrics[name] = float(np.mean(values))


def _density(side: Gated) -> float:
    """Share of its trainable tokens with a gate above 0; 0 where it has none."""
    gate = side.gate[np.asarray(side.loss_mask, dtype=bool)]
    return float((gate > 0).mean()) if gate.size else 0.0
