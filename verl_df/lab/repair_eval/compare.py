# SPDX-License-Identifier: Apache-2.0
"""Finished evaluations side by side: means over runs, and differences paired by task."""

import dataclasses
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from verl_df.io.files import write_json, write_text
from verl_df.lab.markdown import markdown_table
from verl_df.lab.repair_eval.figures import FIGURES, figure_interval
from verl_df.lab.repair_eval.folder import read_evaluation
from verl_df.lab.repair_eval.outcomes import Outcome
from verl_df.lab.repair_eval.sampling import AGAIN, COPY
from verl_df.lab.repair_eval.tables import TITLES, format_interval, format_value
from verl_df.lab.statistics import Interval, PairedDifference, bootstrap_interval, paired_bootstrap
from verl_df.method.checks import did_you_mean

LEVEL, SEED = 0.95, 0
EXPLANATION = """\
Over problems: all runs of a group together, a bootstrap over prompts; what another set of prompts would give for these
runs. Over runs: a bootstrap over the means of the runs; what other training seeds would give on these prompts (with
few runs too narrow). Differences are to the first group, paired by task over the tasks where both groups have the
figure, each task's mean over its runs; p is the two-sided paired bootstrap's.
"""


@dataclass(frozen=True)
class Group:
    """Several runs (training seeds) of one thing. runs: the outcomes of each, of one method."""

    name: str
    runs: tuple[tuple[Outcome, ...], ...]


@dataclass(frozen=True)
class GroupFigure:
    """One figure of one group: the value of each run, their mean, and the two intervals (None where not defined)."""

    runs: tuple[float, ...]
    over_problems: Interval
    over_runs: Interval | None

    @property
    def mean(self) -> float:
        """Mean over runs."""
        return float(np.mean(self.runs))


def parse_group(text: str) -> Group:
    """Read `NAME=DIR[#METHOD][,DIR[#METHOD]...]`.

    METHOD is needed where an evaluation holds more than one repair model.

    Raises:
        ValueError: another form, no such method, or several to choose from.
        FileNotFoundError: no finished evaluation there.
    """
    name, equals, folders = text.partition("=")
    if not (name and equals and folders):
        raise ValueError(f"{text!r}: write NAME=DIR1,DIR2")
    return Group(name, tuple(_run(one) for one in folders.split(",")))


def group_figure(group: Group, name: str) -> GroupFigure | None:
    """One figure of a group; None where a run does not have it."""
    runs = [figure_interval(name, run, level=LEVEL, seed=SEED) for run in group.runs]
    means = [run.estimate for run in runs if run is not None]
    if len(means) < len(runs):
        return None
    pooled = figure_interval(name, [outcome for run in group.runs for outcome in run], level=LEVEL, seed=SEED)
    assert pooled is not None
    over_runs = bootstrap_interval(means, seed=SEED, level=LEVEL) if len(means) > 1 else None
    return GroupFigure(tuple(means), pooled, over_runs)


def difference_over_problems(group: Group, base: Group, name: str) -> PairedDifference | None:
    """group - base in one figure, paired by task, clustered by prompt; None without a common task that has it."""
    ours, theirs = _by_task(group, name), _by_task(base, name)
    common = [task for task in ours if task in theirs]
    if not common:
        return None
    prompts = {outcome.task_id: outcome.prompt_id for run in group.runs for outcome in run}
    return paired_bootstrap(
        [ours[task] for task in common],
        [theirs[task] for task in common],
        seed=SEED,
        level=LEVEL,
        clusters=[prompts[task] for task in common],
    )


def difference_over_runs(group: Group, base: Group, name: str) -> PairedDifference | None:
    """group - base paired by the order of the runs; None for another number of runs, or only one."""
    ours, theirs = group_figure(group, name), group_figure(base, name)
    if ours is None or theirs is None or len(ours.runs) != len(theirs.runs) or len(ours.runs) < 2:
        return None
    return paired_bootstrap(ours.runs, theirs.runs, seed=SEED, level=LEVEL)


def write_comparison(groups: Sequence[Group], out: Path) -> str:
    """Write `compare.json` and `compare.md` into `out`. Returns the page.

    Raises:
        ValueError: two groups of one name.
    """
    names = [group.name for group in groups]
    if len(set(names)) < len(names):
        raise ValueError(f"two groups have the same name: {', '.join(names)}")
    figures = {group.name: {name: group_figure(group, name) for name in FIGURES} for group in groups}
    base, *others = groups
    differences = {group.name: {name: _differences(group, base, name) for name in FIGURES} for group in others}
    page = "# Comparison of repair evaluations\n\n" + _figures_table(figures) + "\n" + EXPLANATION
    for group in others:
        table = _difference_table(differences[group.name])
        page += f"\n## {group.name} − {base.name}\n\n{_pairing(group, base)}\n\n{table}"
    content = {"figures": _plain(figures), "differences": _plain(differences), "base": base.name}
    write_json(out / "compare.json", content)
    write_text(out / "compare.md", page)
    return page


def _run(text: str) -> tuple[Outcome, ...]:
    folder, _, method = text.partition("#")
    rows = read_evaluation(Path(folder)).outcomes()
    sampled = {name: outcomes for (name, decoding), outcomes in rows.items() if decoding != "greedy"}
    if not method:
        repairs = [name for name in sampled if name not in (AGAIN, COPY)]
        if len(repairs) != 1:
            raise ValueError(f"{folder} holds {len(repairs)} repair models; write {folder}#NAME, one of {repairs}")
        method = repairs[0]
    if method not in sampled:
        hint = did_you_mean(method, list(sampled)) or f"it has {', '.join(sampled)}"
        raise ValueError(f"{folder} has no method {method!r}: {hint}")
    return tuple(sampled[method])


def _by_task(group: Group, name: str) -> dict[str, float]:
    """The figure of each task that has it, over the runs and seeds of the group."""
    tops: defaultdict[str, float] = defaultdict(float)
    bottoms: defaultdict[str, float] = defaultdict(float)
    for run in group.runs:
        for outcome in run:
            top, bottom = FIGURES[name](outcome)
            tops[outcome.task_id] += top
            bottoms[outcome.task_id] += bottom
    return {task: tops[task] / bottom for task, bottom in bottoms.items() if bottom}


def _differences(group: Group, base: Group, name: str) -> dict[str, PairedDifference | None]:
    return {
        "over_problems": difference_over_problems(group, base, name),
        "over_runs": difference_over_runs(group, base, name),
    }


def _figures_table(figures: dict[str, dict[str, GroupFigure | None]]) -> str:
    rows = []
    for group, own in figures.items():
        for name, figure in own.items():
            if figure is not None:
                rows.append([group, TITLES[name], *_cells(name, figure)])
    return markdown_table(["group", "figure", "mean of runs", "over problems", "over runs", "runs"], rows)


def _cells(name: str, figure: GroupFigure) -> list[str]:
    runs = ", ".join(format_value(name, run) for run in figure.runs)
    over_runs = format_interval(name, figure.over_runs)
    return [format_value(name, figure.mean), format_interval(name, figure.over_problems), over_runs, runs]


def _pairing(group: Group, base: Group) -> str:
    ours, theirs = ({outcome.task_id for run in one.runs for outcome in run} for one in (group, base))
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
    text = format_interval(name, Interval(paired.difference, paired.low, paired.high))
    return f"{text}, p = {paired.p_value:.4f}"


def _plain(figures: dict[str, dict]) -> dict:
    """Dataclasses to plain values for JSON."""
    if dataclasses.is_dataclass(figures):
        mean = {"mean": figures.mean} if isinstance(figures, GroupFigure) else {}
        return dataclasses.asdict(figures) | mean
    return {key: _plain(value) for key, value in figures.items()} if isinstance(figures, dict) else figures
