# SPDX-License-Identifier: Apache-2.0
"""Accuracy and pass@k of finished evaluations, over seeds and over problems."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from verl_df.lab.evaluation.folder import Evaluation, read_evaluation
from verl_df.lab.evaluation.records import Sample
from verl_df.lab.statistics import Interval, bootstrap_interval, pass_at_k

LEVEL, SEED = 0.95, 0
RIGHT = 1.0  # tau_r of the paper: a response counts as right for pass@k

Scores = dict[str, list[float]]  # of the samples of each problem


@dataclass(frozen=True)
class Replicate:
    """One of the seeds that a mean is taken over. scores: by data set, then by problem. truths: likewise."""

    name: str
    scores: dict[str, Scores]
    truths: dict[str, dict[str, str]]


@dataclass(frozen=True)
class Run:
    """One row of a table. Several folders are a replicate each (training seeds), the sampling seeds of a folder
    together; a single folder has its sampling seeds for replicates.
    """

    name: str
    replicates: tuple[Replicate, ...]


@dataclass(frozen=True)
class Cell:
    """A figure of one run on one data set. mean: over replicates, whose values are `values`. over_seeds: a bootstrap
    over these values, None for a single one. over_problems: a bootstrap over problems, each with its mean.
    """

    values: tuple[float, ...]
    problems: int
    over_seeds: Interval | None
    over_problems: Interval

    @property
    def mean(self) -> float:
        """Mean over replicates."""
        return float(np.mean(self.values))


def parse_run(text: str, scorer: str | None = None) -> Run:
    """Read `NAME=DIR[,DIR...]`.

    Args:
        text: the name of the row, and folders of finished evaluations.
        scorer: take the scores that `score` wrote under this name.

    Raises:
        ValueError: another form; an evaluation that is not finished; folders on other problems.
        FileNotFoundError: no evaluation there.
    """
    name, equals, folders = text.partition("=")
    if not (name and equals and folders):
        raise ValueError(f"{text!r}: write NAME=DIR1,DIR2")
    evaluations = [read_evaluation(Path(folder), scorer) for folder in folders.split(",")]
    return make_run(name, evaluations)


def make_run(name: str, evaluations: Sequence[Evaluation]) -> Run:
    """A run of evaluations of one thing. Raises: ValueError for evaluations on other problems."""
    if len(evaluations) == 1:
        replicates = _by_seed(evaluations[0])
    else:
        replicates = [_replicate(str(one.folder), one, one.samples) for one in evaluations]
    for other in replicates[1:]:
        for data in replicates[0].scores.keys() & other.scores.keys():
            if replicates[0].truths[data] != other.truths[data]:
                raise ValueError(f"{replicates[0].name} and {other.name} have other problems in {data}")
    return Run(name, tuple(replicates))


def problem_means(run: Run, data: str, k: int = 1) -> dict[str, float] | None:
    """Each problem's accuracy (k = 1) or pass@k, mean over replicates; None where a replicate does not have it."""
    found = [_problem_values(replicate, data, k) for replicate in run.replicates]
    whole = [values for values in found if values is not None]
    if len(whole) < len(found):
        return None
    return {problem: float(np.mean([values[problem] for values in whole])) for problem in whole[0]}


def seed_values(run: Run, data: str, k: int = 1) -> list[float] | None:
    """Each replicate's accuracy or pass@k; None where one does not have it."""
    found = [_problem_values(replicate, data, k) for replicate in run.replicates]
    if any(values is None for values in found):
        return None
    return [float(np.mean(list(values.values()))) for values in found if values is not None]


def cell(run: Run, data: str, k: int = 1) -> Cell | None:
    """A figure with its intervals; None where a replicate lacks the data set, or has fewer than k samples."""
    values, means = seed_values(run, data, k), problem_means(run, data, k)
    if values is None or means is None:
        return None
    over_seeds = bootstrap_interval(values, seed=SEED, level=LEVEL) if len(values) > 1 else None
    return Cell(tuple(values), len(means), over_seeds, bootstrap_interval(list(means.values()), seed=SEED, level=LEVEL))


def ks(runs: Sequence[Run]) -> list[int]:
    """The k of pass@k that some run has: powers of two, and the number of samples."""
    counts = {
        len(own) for run in runs for one in run.replicates for data in one.scores.values() for own in data.values()
    }
    most = max(counts, default=1)
    return sorted({k for k in (2, 4, 8, 16, 32, 64, 128, most) if 1 < k <= most})


def _by_seed(evaluation: Evaluation) -> list[Replicate]:
    by_seed: defaultdict[int, list[Sample]] = defaultdict(list)
    for sample in evaluation.samples:
        by_seed[sample.seed].append(sample)
    return [_replicate(f"{evaluation.folder}, seed {seed}", evaluation, own) for seed, own in sorted(by_seed.items())]


def _replicate(name: str, evaluation: Evaluation, samples: Sequence[Sample]) -> Replicate:
    scores: dict[str, Scores] = {}
    for sample in samples:
        scores.setdefault(sample.data, {}).setdefault(sample.problem, []).append(sample.score)
    truths: dict[str, dict[str, str]] = {}
    for problem in evaluation.problems:
        truths.setdefault(problem.data, {})[problem.problem] = problem.ground_truth
    return Replicate(name, scores, truths)


def _problem_values(replicate: Replicate, data: str, k: int) -> dict[str, float] | None:
    scores: Mapping[str, Sequence[float]] | None = replicate.scores.get(data)
    if scores is None or min(map(len, scores.values())) < k:
        return None
    if k == 1:
        return {problem: float(np.mean(own)) for problem, own in scores.items()}
    return {problem: pass_at_k(len(own), sum(one >= RIGHT for one in own), k) for problem, own in scores.items()}
