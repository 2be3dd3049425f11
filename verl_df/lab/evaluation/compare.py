# SPDX-License-Identifier: Apache-2.0
"""Two runs on the same problems: differences with a paired bootstrap test."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from verl_df.io.files import write_json, write_text
from verl_df.lab.evaluation.benchmarks import columns, title
from verl_df.lab.evaluation.figures import LEVEL, SEED, Run, ks, problem_means, seed_values
from verl_df.lab.markdown import markdown_table
from verl_df.lab.statistics import Interval, PairedDifference, paired_bootstrap

EXPLANATION = """\
Differences in percentage points, with 95% bootstrap intervals; p is two-sided, of no difference, not corrected for the
number of benchmarks. Over problems (our reading of the paper's test): the problems that both runs have are resampled,
each with its mean over the seeds; it says what other problems of the kind would show, for these models. Over seeds: the
seeds are resampled, paired in their order; it says what other seeds would show. Five seeds of one sign give the
smallest p there is, whatever the size of the difference.
"""


@dataclass(frozen=True)
class Difference:
    """a - b in one figure. over_problems: None without a common problem; over_seeds: None for fewer than two seeds, or
    another number of them. common, of_a, of_b: numbers of problems.
    """

    over_problems: PairedDifference | None
    over_seeds: PairedDifference | None
    common: int
    of_a: int
    of_b: int


def difference(a: Run, b: Run, data: str, k: int = 1) -> Difference | None:
    """a - b on one data set; None where one of them does not have it.

    Raises:
        ValueError: a problem has another right answer in the other run: the data are not the same.
    """
    ours, theirs = problem_means(a, data, k), problem_means(b, data, k)
    if ours is None or theirs is None:
        return None
    common = [problem for problem in ours if problem in theirs]
    _check_same(a, b, data, common)
    over_problems = None
    if common:
        left, right = ([means[problem] for problem in common] for means in (ours, theirs))
        over_problems = paired_bootstrap(left, right, seed=SEED, level=LEVEL)
    return Difference(over_problems, _over_seeds(a, b, data, k), len(common), len(ours), len(theirs))


def write_comparison(a: Run, b: Run, out: Path) -> str:
    """Write `compare.md` and `compare.json` into `out`. Returns the page.

    Raises:
        ValueError: no data set that both have; as `difference`.
    """
    names = columns(name for run in (a, b) for replicate in run.replicates for name in replicate.scores)
    figures = [(k, {name: found for name in names if (found := difference(a, b, name, k))}) for k in (1, *ks([a, b]))]
    if not figures[0][1]:
        raise ValueError(f"{a.name} and {b.name} have no data set in common")
    page = f"# {a.name} − {b.name}\n\n"
    for k, found in figures:
        if found:
            page += f"{'' if k == 1 else f'## pass@{k}' + chr(10) * 2}{_table(found)}\n"
    page += EXPLANATION
    write_text(out / "compare.md", page)
    content = {"accuracy" if k == 1 else f"pass@{k}": _plain(found) for k, found in figures if found}
    write_json(out / "compare.json", {"a": a.name, "b": b.name, "differences": content})
    return page


def _check_same(a: Run, b: Run, data: str, common: Sequence[str]) -> None:
    ours, theirs = a.replicates[0].truths[data], b.replicates[0].truths[data]
    for problem in common:
        if ours[problem] != theirs[problem]:
            answers = f"{ours[problem]!r} in {a.name}, {theirs[problem]!r} in {b.name}"
            raise ValueError(f"{data}, problem {problem} has the answer {answers}: they read different data")


def _over_seeds(a: Run, b: Run, data: str, k: int) -> PairedDifference | None:
    ours, theirs = seed_values(a, data, k), seed_values(b, data, k)
    if ours is None or theirs is None or len(ours) != len(theirs) or len(ours) < 2:
        return None
    return paired_bootstrap(ours, theirs, seed=SEED, level=LEVEL)


def _table(found: dict[str, Difference]) -> str:
    header = ["benchmark", "problems in both", "difference over problems", "p", "difference over seeds", "p"]
    rows = []
    for name, one in found.items():
        problems = f"{one.common} of {one.of_a} and {one.of_b}" if one.common < max(one.of_a, one.of_b) else one.common
        rows.append([title(name), str(problems), *_cells(one.over_problems), *_cells(one.over_seeds)])
    return markdown_table(header, rows)


def _cells(paired: PairedDifference | None) -> list[str]:
    if paired is None:
        return ["–", "–"]
    interval = Interval(paired.difference, paired.low, paired.high)
    estimate, low, high = (f"{100 * value:+.1f}" for value in (interval.estimate, interval.low, interval.high))
    return [f"{estimate} [{low}, {high}]", f"{paired.p_value:.4f}"]


def _plain(found: dict[str, Difference]) -> dict[str, Any]:
    return {name: dataclasses.asdict(one) for name, one in found.items()}
