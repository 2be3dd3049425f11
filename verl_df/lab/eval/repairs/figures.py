# SPDX-License-Identifier: Apache-2.0
"""The figures of repair evaluations with their intervals, of one method and of groups of runs."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from verl_df.lab.eval.intervals import LEVEL, SEED, over_replicates
from verl_df.lab.eval.repairs.finished import Group
from verl_df.lab.eval.repairs.outcomes import TITLES, Outcome, Row
from verl_df.lab.statistics import Interval, ratio_interval
from verl_df.method.records import REFERENCE_KINDS

ALL = "all"


@dataclass(frozen=True)
class MethodFigures:
    """Figures of one row of the table.

    Attributes:
        reference_kind: "sibling" or "answer", or "all" for both together.
        outcomes: tasks x seeds.
        figures: None where nothing counts.
        rejections: samples left out of the feasible set, by reason.
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


@dataclass(frozen=True)
class GroupFigure:
    """One figure of one group.

    Attributes:
        runs: the value of each run.
        over_problems: of all runs together, over prompts.
        over_runs: None for a single run.
    """

    runs: tuple[float, ...]
    over_problems: Interval
    over_runs: Interval | None

    @property
    def mean(self) -> float:
        """Mean over runs."""
        return float(np.mean(self.runs))

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self) | {"mean": self.mean}


def compute_figures(outcomes: dict[Row, list[Outcome]]) -> list[MethodFigures]:
    """Figures of every method and decoding, as `collect_outcomes` returns them.

    By kind of reference too where both kinds occur.
    """
    rows = []
    for (method, decoding), own in outcomes.items():
        kinds = [kind for kind in REFERENCE_KINDS if any(outcome.reference_kind == kind for outcome in own)]
        for kind in kinds if len(kinds) == 1 else (ALL, *kinds):
            chosen = [outcome for outcome in own if kind in (ALL, outcome.reference_kind)]
            rows.append(_figures(method, decoding, kind, chosen))
    return rows


def figure_interval(name: str, outcomes: Sequence[Outcome]) -> Interval | None:
    """One figure with a bootstrap over prompts, whose outcomes stay together; None where nothing counts."""
    tops, bottoms = _parts(name, outcomes)
    if bottoms.sum() == 0:
        return None
    return ratio_interval(tops, bottoms, level=LEVEL, seed=SEED, clusters=[outcome.prompt_id for outcome in outcomes])


def group_figure(group: Group, name: str) -> GroupFigure | None:
    """One figure of a group; None where a run does not have it."""
    runs = [figure_interval(name, run) for run in group.runs]
    means = [run.estimate for run in runs if run is not None]
    pooled = figure_interval(name, group.outcomes)
    if pooled is None or len(means) < len(runs):
        return None
    return GroupFigure(tuple(means), pooled, over_replicates(means))


def by_task(group: Group, name: str) -> dict[str, float]:
    """The figure of each task that has it, over the runs and seeds of the group."""
    tops, bottoms = _parts(name, group.outcomes)
    numbers, tasks = pd.factorize(np.array([outcome.task_id for outcome in group.outcomes], dtype=object))
    sums = zip(tasks, np.bincount(numbers, tops), np.bincount(numbers, bottoms), strict=True)
    return {task: float(top / bottom) for task, top, bottom in sums if bottom}


def _parts(name: str, outcomes: Sequence[Outcome]) -> tuple[np.ndarray, np.ndarray]:
    """Numerators and denominators, float64 [outcomes] each."""
    tops, bottoms = np.array([outcome.parts[name] for outcome in outcomes], dtype=np.float64).T
    return tops, bottoms


def _figures(method: str, decoding: str, kind: str, outcomes: Sequence[Outcome]) -> MethodFigures:
    rejections = sum((outcome.rejections for outcome in outcomes), Counter())
    return MethodFigures(
        method=method,
        decoding=decoding,
        reference_kind=kind,
        tasks=len({outcome.task_id for outcome in outcomes}),
        prompts=len({outcome.prompt_id for outcome in outcomes}),
        seeds=len({outcome.seed for outcome in outcomes}),
        outcomes=len(outcomes),
        samples=sum(outcome.samples for outcome in outcomes),
        truth_known=sum(outcome.truth_known for outcome in outcomes),
        figures={name: figure_interval(name, outcomes) for name in TITLES},
        rejections=dict(sorted(rejections.items())),
    )
