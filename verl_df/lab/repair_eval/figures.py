# SPDX-License-Identifier: Apache-2.0
"""The figures of a repair evaluation. Each is a sum over outcomes divided by another, so that one interval fits all."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from verl_df.lab.repair_eval.outcomes import Outcome, Row, Survival
from verl_df.lab.statistics import Interval, pass_at_k, ratio_interval
from verl_df.method.records import REFERENCE_KINDS

Parts = tuple[float, float]  # numerator and denominator of one outcome; (0, 0) where it does not count
_NOTHING: Parts = (0.0, 0.0)
ALL = "all"


@dataclass(frozen=True)
class MethodFigures:
    """Figures of one row of the table.

    reference_kind: "sibling" or "answer", or "all" for both together. figures: None where nothing counts.
    outcomes: tasks x seeds. rejections: samples left out of the feasible set, by reason.
    """

    method: str
    decoding: str
    reference_kind: str
    tasks: int
    prompts: int
    seeds: int
    outcomes: int
    samples: int
    truth_known: int
    figures: dict[str, Interval | None]
    rejections: dict[str, int]


def _truth(outcome: Outcome, top: str) -> Parts:
    truth = outcome.truth
    if truth is None:
        return _NOTHING
    parts = {
        "precision": (truth.tp, truth.tp + truth.fp),
        "recall": (truth.tp, truth.tp + truth.fn),
        "f1": (2 * truth.tp, 2 * truth.tp + truth.fp + truth.fn),
    }
    return parts[top]


def _survived(survival: Survival | None) -> Parts:
    return _NOTHING if survival is None else (survival.stayed, survival.right)


def _pass_at_2(outcome: Outcome) -> Parts:
    n = len(outcome.right)
    return _NOTHING if n < 2 else (pass_at_k(n, sum(outcome.right), 2), 1)


def _right_ratios(outcome: Outcome) -> Parts:
    ratios = [ratio for ratio, right in zip(outcome.ratios, outcome.right, strict=True) if right]
    return sum(ratios), len(ratios)


FIGURES: dict[str, Callable[[Outcome], Parts]] = {
    "acc_at_1": lambda outcome: (sum(outcome.right), len(outcome.right)),
    "acc_at_2": _pass_at_2,
    "edit_ratio_chosen": lambda outcome: _NOTHING if outcome.chosen_ratio is None else (outcome.chosen_ratio, 1),
    "edit_ratio_right": _right_ratios,
    "edit_ratio_all": lambda outcome: (sum(outcome.ratios), len(outcome.ratios)),
    "feasible": lambda outcome: (outcome.chosen_ratio is not None, 1),
    "mask_precision": lambda outcome: _truth(outcome, "precision"),
    "mask_recall": lambda outcome: _truth(outcome, "recall"),
    "mask_f1": lambda outcome: _truth(outcome, "f1"),
    "survival_hidden": lambda outcome: _survived(outcome.survival_hidden),
    "survival_shown": lambda outcome: _survived(outcome.survival_shown),
}
"""Name of each figure and its parts in one outcome.

acc_at_1: mean over samples of "right". acc_at_2: chance that any of 2 samples is right, unbiased for n > 2.
edit_ratio_*: A_edit/|y| of the chosen repair, of right samples, of all samples. feasible: S is not empty.
mask_*: tokens of the chosen repair's error mask against the true one, pooled. survival_*: right answers that are right
again without the image, the reference hidden or shown.
"""


def compute_figures(outcomes: dict[Row, list[Outcome]], *, level: float = 0.95, seed: int = 0) -> list[MethodFigures]:
    """Figures of every method and decoding; by kind of reference too where both kinds occur.

    Args:
        outcomes: as `collect_outcomes` returns them.
        level, seed: of the intervals, a bootstrap over prompts: all outcomes of a prompt stay together.
    """
    rows = []
    for (method, decoding), own in outcomes.items():
        kinds = [kind for kind in REFERENCE_KINDS if any(outcome.reference_kind == kind for outcome in own)]
        for kind in kinds if len(kinds) == 1 else (ALL, *kinds):
            chosen = [outcome for outcome in own if kind in (ALL, outcome.reference_kind)]
            rows.append(_figures(method, decoding, kind, chosen, level, seed))
    return rows


def figure_interval(name: str, outcomes: Sequence[Outcome], *, level: float, seed: int) -> Interval | None:
    """One figure with its interval over prompts; None where nothing counts."""
    parts = [FIGURES[name](outcome) for outcome in outcomes]
    tops, bottoms = [float(top) for top, _ in parts], [float(bottom) for _, bottom in parts]
    if sum(bottoms) == 0:
        return None
    return ratio_interval(tops, bottoms, level=level, seed=seed, clusters=[outcome.prompt_id for outcome in outcomes])


def _figures(
    method: str, decoding: str, kind: str, outcomes: Sequence[Outcome], level: float, seed: int
) -> MethodFigures:
    rejections = sum((outcome.rejections for outcome in outcomes), Counter())
    return MethodFigures(
        method=method,
        decoding=decoding,
        reference_kind=kind,
        tasks=len({outcome.task_id for outcome in outcomes}),
        prompts=len({outcome.prompt_id for outcome in outcomes}),
        seeds=len({outcome.seed for outcome in outcomes}),
        outcomes=len(outcomes),
        samples=sum(len(outcome.right) for outcome in outcomes),
        truth_known=sum(outcome.truth is not None for outcome in outcomes),
        figures={name: figure_interval(name, outcomes, level=level, seed=seed) for name in FIGURES},
        rejections=dict(sorted(rejections.items())),
    )
