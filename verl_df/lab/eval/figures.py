# SPDX-License-Identifier: Apache-2.0
"""Accuracy and pass@k of finished evaluations, over seeds and over problems."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from verl_df.lab.command_line import named_folders
from verl_df.lab.eval.benchmarks import columns
from verl_df.lab.eval.finished import Evaluation, read_evaluation
from verl_df.lab.eval.intervals import LEVEL, SEED, over_replicates
from verl_df.lab.statistics import Interval, bootstrap_interval, pass_at_k

RIGHT = 1.0  # tau_r of the paper: a response counts as right for pass@k
_PASSES = (2, 4, 8, 16, 32, 64, 128)


@dataclass(frozen=True)
class Run:
    """One row of a table.

    Several folders are a replicate each (training seeds), the sampling seeds of a folder together; a single folder has
    its sampling seeds for replicates.

    Attributes:
        replicates: their names.
        scores: of each sample, in the order of the replicates: "data", "problem", "replicate" (its number), "score".
        truths: ground truth of each problem, by data set.
    """

    name: str
    replicates: tuple[str, ...]
    scores: pd.DataFrame
    truths: dict[str, dict[str, str]]


@dataclass(frozen=True)
class Cell:
    """A figure of one run on one data set.

    Attributes:
        values: of each replicate.
        over_seeds: a bootstrap over `values`, None for a single one.
        over_problems: a bootstrap over problems, each with its mean.
    """

    values: tuple[float, ...]
    problems: int
    over_seeds: Interval | None
    over_problems: Interval

    @property
    def mean(self) -> float:
        """Mean over replicates."""
        return float(np.mean(self.values))

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self) | {"mean": self.mean}


def parse_run(text: str, scorer: str | None = None) -> Run:
    """Read `NAME=DIR[,DIR...]`.

    Args:
        text: the name of the row, and folders of finished evaluations.
        scorer: take the scores that `score` wrote under this name.

    Raises:
        ValueError: another form; an evaluation that is not finished; folders on other problems.
        FileNotFoundError: no evaluation there.
    """
    name, folders = named_folders(text)
    if any(method for _, method in folders):
        raise ValueError(f"{text!r}: #METHOD is for repair models, an evaluation on benchmarks is of one model")
    return make_run(name, [read_evaluation(folder, scorer) for folder, _ in folders])


def make_run(name: str, evaluations: Sequence[Evaluation]) -> Run:
    """A run of evaluations of one thing. Raises: ValueError for evaluations on other problems."""
    truths: dict[str, dict[str, str]] = {}
    for one in evaluations:
        own: dict[str, dict[str, str]] = {}
        for problem in one.problems:
            own.setdefault(problem.data, {})[problem.problem] = problem.ground_truth
        for data in own.keys() & truths.keys():
            if own[data] != truths[data]:
                raise ValueError(f"{evaluations[0].folder} and {one.folder} have other problems in {data}")
        truths |= own
    scores = pd.DataFrame(
        [
            (sample.data, sample.problem, sample.seed if len(evaluations) == 1 else number, sample.score)
            for number, one in enumerate(evaluations)
            for sample in one.samples
        ],
        columns=["data", "problem", "replicate", "score"],
    ).sort_values("replicate", kind="stable")
    folders = [str(one.folder) for one in evaluations]
    names = [f"{folders[0]}, seed {seed}" for seed in scores["replicate"].unique()] if len(folders) == 1 else folders
    return Run(name, tuple(names), scores, truths)


def values(run: Run, data: str, k: int = 1) -> pd.Series | None:
    """Accuracy (k = 1) or pass@k of each replicate and problem.

    Returns:
        float64 by replicate and problem; None where a replicate lacks the data set, or has fewer than k samples.
    """
    own = run.scores[run.scores["data"] == data]
    groups = own.groupby(["replicate", "problem"], sort=False)["score"]
    if own["replicate"].nunique() < len(run.replicates) or groups.size().min() < k:
        return None
    if k == 1:
        return groups.agg(lambda scores: scores.to_numpy().mean())
    return groups.agg(lambda scores: pass_at_k(len(scores), int((scores >= RIGHT).sum()), k))


def seed_values(found: pd.Series) -> list[float]:
    """The mean of each replicate."""
    return [float(own.to_numpy().mean()) for _, own in found.groupby(level="replicate", sort=False)]


def problem_means(found: pd.Series) -> dict[str, float]:
    """The mean of each problem over the replicates."""
    table = found.unstack("replicate", sort=False)
    return dict(zip(table.index, np.ascontiguousarray(table).mean(axis=1).tolist(), strict=True))


def cell(run: Run, data: str, k: int = 1) -> Cell | None:
    """A figure with its intervals; None where a replicate lacks the data set, or has fewer than k samples."""
    found = values(run, data, k)
    if found is None:
        return None
    means, own = list(problem_means(found).values()), seed_values(found)
    return Cell(tuple(own), len(means), over_replicates(own), bootstrap_interval(means, seed=SEED, level=LEVEL))


def ks(runs: Sequence[Run]) -> list[int]:
    """The k of pass@k that some run has: powers of two, and the number of samples."""
    sizes = [run.scores.groupby(["data", "replicate", "problem"], sort=False).size().max() for run in runs]
    most = int(max(sizes, default=1))
    return sorted({k for k in (*_PASSES, most) if 1 < k <= most})


def figure_name(k: int) -> str:
    """Name of accuracy (k = 1) or pass@k."""
    return "accuracy" if k == 1 else f"pass@{k}"


def data_of(runs: Sequence[Run]) -> list[str]:
    """Columns of a table of these runs."""
    return columns(name for run in runs for name in run.scores["data"].unique())
