# SPDX-License-Identifier: Apache-2.0
"""Two runs on the same problems: differences with a paired bootstrap test."""

from dataclasses import asdict, dataclass
from pathlib import Path

from verl_df.io.files import write_json, write_text
from verl_df.lab.eval.benchmarks import title
from verl_df.lab.eval.figures import Run, data_of, figure_name, ks, problem_means, seed_values, values
from verl_df.lab.eval.intervals import format_difference, paired_by_key, paired_replicates
from verl_df.lab.markdown import markdown_table
from verl_df.lab.statistics import PairedDifference

EXPLANATION = """\
Differences in percentage points, with 95% bootstrap intervals; p is two-sided, of no difference, not corrected for the
number of benchmarks. Over problems (our reading of the paper's test): the problems that both runs have are resampled,
each with its mean over the seeds; it says what other problems of the kind would show, for these models. Over seeds: the
seeds are resampled, paired in their order; it says what other seeds would show. Five seeds of one sign give the
smallest p there is, whatever the size of the difference.
"""


@dataclass(frozen=True)
class Difference:
    """a - b in one figure.

    Attributes:
        over_problems: None without a common problem.
        over_seeds: None for fewer than two seeds, or another number of them.
        common, of_a, of_b: numbers of problems.
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
    found = [values(run, data, k) for run in (a, b)]
    if found[0] is None or found[1] is None:
        return None
    ours, theirs = (problem_means(one) for one in found)
    common = [problem for problem in ours if problem in theirs]
    for problem in common:
        right, other = a.truths[data][problem], b.truths[data][problem]
        if right != other:
            answers = f"{right!r} in {a.name}, {other!r} in {b.name}"
            raise ValueError(f"{data}, problem {problem} has the answer {answers}: they read different data")
    over_seeds = paired_replicates(*map(seed_values, found))
    return Difference(paired_by_key(ours, theirs), over_seeds, len(common), len(ours), len(theirs))


def write_comparison(a: Run, b: Run, out: Path) -> str:
    """Write `compare.md` and `compare.json` into `out`. Returns the page.

    Raises:
        ValueError: no data set that both have; as `difference`.
    """
    names = data_of([a, b])
    figures = {k: {name: one for name in names if (one := difference(a, b, name, k))} for k in (1, *ks([a, b]))}
    if not figures[1]:
        raise ValueError(f"{a.name} and {b.name} have no data set in common")
    figures = {k: found for k, found in figures.items() if found}
    page = f"# {a.name} − {b.name}\n\n"
    for k, found in figures.items():
        page += f"{_heading(k)}{_table(found)}\n"
    page += EXPLANATION
    write_text(out / "compare.md", page)
    content = {figure_name(k): {name: asdict(one) for name, one in found.items()} for k, found in figures.items()}
    write_json(out / "compare.json", {"a": a.name, "b": b.name, "differences": content})
    return page


def _heading(k: int) -> str:
    return "" if k == 1 else f"## {figure_name(k)}\n\n"


def _table(found: dict[str, Difference]) -> str:
    header = ["benchmark", "problems in both", "difference over problems", "p", "difference over seeds", "p"]
    rows = []
    for name, one in found.items():
        problems = f"{one.common} of {one.of_a} and {one.of_b}" if one.common < max(one.of_a, one.of_b) else one.common
        cells = [*format_difference(one.over_problems), *format_difference(one.over_seeds)]
        rows.append([title(name), str(problems), *cells])
    return markdown_table(header, rows)
