# SPDX-License-Identifier: Apache-2.0
"""Finished evaluations side by side: means over runs, and differences paired by task."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from verl_df.io.files import write_json, write_text
from verl_df.lab.command_line import check_unique
from verl_df.lab.eval.intervals import paired_by_key, paired_replicates
from verl_df.lab.eval.repairs.figures import GroupFigure, by_task, group_figure
from verl_df.lab.eval.repairs.finished import Group
from verl_df.lab.eval.repairs.outcomes import TITLES
from verl_df.lab.eval.repairs.report import shown, shown_value
from verl_df.lab.markdown import markdown_table
from verl_df.lab.statistics import Interval, PairedDifference

EXPLANATION = """\
Over problems: all runs of a group together, a bootstrap over prompts; what another set of prompts would give for these
runs. Over runs: a bootstrap over the means of the runs; what other training seeds would give on these prompts (with
few runs too narrow). Differences are to the first group, paired by task over the tasks where both groups have the
figure, each task's mean over its runs; p is the two-sided paired bootstrap's.
"""


def difference_over_problems(group: Group, base: Group, name: str) -> PairedDifference | None:
    """group - base in one figure, paired by task, clustered by prompt; None without a common task that has it."""
    prompts = {outcome.task_id: outcome.prompt_id for outcome in group.outcomes}
    return paired_by_key(by_task(group, name), by_task(base, name), prompts)


def difference_over_runs(group: Group, base: Group, name: str) -> PairedDifference | None:
    """group - base paired by the order of the runs; None for another number of runs, or only one."""
    ours, theirs = group_figure(group, name), group_figure(base, name)
    if ours is None or theirs is None:
        return None
    return paired_replicates(ours.runs, theirs.runs)


def write_comparison(groups: Sequence[Group], out: Path) -> str:
    """Write `compare.json` and `compare.md` into `out`. Returns the page.

    Raises:
        ValueError: two groups of one name.
    """
    check_unique("groups", [group.name for group in groups])
    figures = {group.name: {name: group_figure(group, name) for name in TITLES} for group in groups}
    base, *others = groups
    over = {"over_problems": difference_over_problems, "over_runs": difference_over_runs}
    differences = {
        group.name: {name: {key: of(group, base, name) for key, of in over.items()} for name in TITLES}
        for group in others
    }
    page = "# Comparison of repair evaluations\n\n" + _figures_table(figures) + "\n" + EXPLANATION
    for group in others:
        table = _difference_table(differences[group.name])
        page += f"\n## {group.name} − {base.name}\n\n{_pairing(group, base)}\n\n{table}"
    content = {
        "figures": {
            group: {name: found and found.plain() for name, found in own.items()} for group, own in figures.items()
        },
        "differences": {
            group: {name: {key: one and asdict(one) for key, one in pair.items()} for name, pair in own.items()}
            for group, own in differences.items()
        },
        "base": base.name,
    }
    write_json(out / "compare.json", content)
    write_text(out / "compare.md", page)
    return page


def _figures_table(figures: dict[str, dict[str, GroupFigure | None]]) -> str:
    rows = []
    for group, own in figures.items():
        for name, figure in own.items():
            if figure is not None:
                runs = ", ".join(shown_value(name, run) for run in figure.runs)
                cells = [shown(name, figure.over_problems), shown(name, figure.over_runs), runs]
                rows.append([group, TITLES[name], shown_value(name, figure.mean), *cells])
    return markdown_table(["group", "figure", "mean of runs", "over problems", "over runs", "runs"], rows)


def _pairing(group: Group, base: Group) -> str:
    ours, theirs = ({outcome.task_id for outcome in one.outcomes} for one in (group, base))
    common = len(ours & theirs)
    if not common:
        return "No task is in both groups: the evaluations read different data, and nothing can be paired by task."
    return f"{common} tasks are in both groups ({len(ours)} in {group.name}, {len(theirs)} in {base.name})."


def _difference_table(differences: dict[str, dict[str, PairedDifference | None]]) -> str:
    rows = []
    for name, pair in differences.items():
        if any(difference is not None for difference in pair.values()):
            problems = pair["over_problems"]
            tasks = "–" if problems is None else str(problems.n)
            rows.append([TITLES[name], tasks, _difference(name, problems), _difference(name, pair["over_runs"])])
    return markdown_table(["figure", "tasks", "difference over problems", "difference over runs"], rows)


def _difference(name: str, paired: PairedDifference | None) -> str:
    if paired is None:
        return "–"
    return f"{shown(name, Interval(paired.difference, paired.low, paired.high))}, p = {paired.p_value:.4f}"
