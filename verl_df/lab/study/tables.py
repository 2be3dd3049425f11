# SPDX-License-Identifier: Apache-2.0
"""A study as tables, Markdown and LaTeX, and as a plot with every seed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from verl_df.io.files import write_text
from verl_df.lab.drawing import draw_svg
from verl_df.lab.latex import latex_table
from verl_df.lab.markdown import markdown_table
from verl_df.lab.study.compare import Contrast, at_last_step, contrast, over_training
from verl_df.lab.study.results import RESULTS, Result
from verl_df.lab.study.settings import Study

EXPLANATION = """\
Greedy accuracy in percent on the same {problems} held-out problems; means over training seeds, each seed's last value
in brackets. The difference to {reference} at the last step, and of the mean over all validations of training: 95%
bootstrap over seeds and problems together, seeds paired. p: two-sided paired t-test over seeds, not corrected for the
number of rows. "Seeds" is the number of pairs; "needed" how many it would take for a difference of this size to pass at
p < 0.01 four times out of five. Step: the median of `timing_s/step`, in seconds.
"""
AT_EQUAL_TIME = """
Steps and device-seconds: means over seeds, of the run alone, by its ledger. {arms}: each run got the device-seconds of
its seed's run of {like}{plus}, and its last step is the one with which they were spent.
"""

_HEADER = ("arm", "last step", "difference", "p", "needed", "mean of training", "difference", "p", "seeds", "step")
_TIME = ("steps", "device-seconds")  # before the last one, where an arm has a budget


def write_tables(study: Study, results: Sequence[Result], out: Path) -> str:
    """Write `results.jsonl`, `study.md`, `study.tex` and a plot a world into `out`. Returns the Markdown page.

    Raises:
        ValueError: no results.
    """
    if not results:
        raise ValueError(f"{study.title}: no run is finished")
    page, latex = f"# {study.title}\n", ""
    for world in study.worlds:
        arms = {arm: [one for one in results if (one.world, one.arm) == (world, arm)] for arm in study.rows}
        arms = {arm: found for arm, found in arms.items() if found}
        if not arms:
            continue
        timed = any(one.granted for found in arms.values() for one in found)
        header, rows = (*_HEADER[:-1], *_TIME, _HEADER[-1]) if timed else _HEADER, _rows(study, arms, timed)
        problems = len(next(iter(arms.values()))[0].problems)
        explanation = EXPLANATION.format(problems=problems, reference=_title(study, study.reference))
        if timed:
            explanation += _equal_time(study, arms)
        table, title = markdown_table(header, rows), study.worlds[world].title or world
        page += f"\n## {title}\n\n{table}\n{explanation}\n![Accuracy over training]({world}.svg)\n"
        latex += latex_table(header, rows, align="r", comment=world)
        write_text(out / f"{world}.svg", _plot(study, world, arms))
    write_text(out / "study.md", page)
    write_text(out / "study.tex", latex)
    RESULTS.write(out / "results.jsonl", results)
    return page


def _rows(study: Study, arms: Mapping[str, Sequence[Result]], timed: bool) -> list[list[str]]:
    rows = []
    for arm, results in arms.items():
        cells = []
        for figure in (at_last_step, over_training):
            values = [100 * figure(result).mean() for result in results]
            each = f" ({', '.join(f'{value:.1f}' for value in values)})" if figure is at_last_step else ""
            against = None if arm == study.reference else arms.get(study.reference)
            found = contrast(results, against, figure) if against else None
            cells += [f"{np.mean(values):.1f}{each}", *_difference(found, with_needed=figure is at_last_step)]
        seconds = np.median([result.step_seconds for result in results])
        time = _time(results) if timed else []
        rows.append([_title(study, arm), *cells, str(len(results)), *time, f"{seconds:.1f}"])
    return rows


def _time(results: Sequence[Result]) -> list[str]:
    """Cells of `_TIME`."""
    seconds = [one.device_seconds for one in results if one.device_seconds is not None]
    steps = np.mean([one.steps[-1] for one in results])
    return [f"{steps:.0f}", f"{np.mean(seconds):.0f}" if len(seconds) == len(results) else ""]


def _equal_time(study: Study, arms: Mapping[str, Sequence[Result]]) -> str:
    text = ""
    for arm, (first, *others) in arms.items():
        if first.budget is None:
            continue
        beside = [sum(one.granted[1:]) for one in (first, *others)]
        plus = f" and {np.mean(beside):.0f} for the training of what it uses" if any(beside) else ""
        text += AT_EQUAL_TIME.format(arms=_title(study, arm), like=_title(study, first.budget.like), plus=plus)
    return text


def _difference(found: Contrast | None, with_needed: bool) -> list[str]:
    if found is None:
        return [""] * (3 if with_needed else 2)
    shown = f"{100 * found.difference:+.1f} [{100 * found.low:+.1f}, {100 * found.high:+.1f}]"
    p_value = "" if found.p_seeds is None else f"{found.p_seeds:.2g}"
    needed = [] if not with_needed else ["" if found.needed is None else str(found.needed)]
    return [shown, p_value, *needed]


def _title(study: Study, arm: str) -> str:
    return study.rows[arm].title or arm


def _plot(study: Study, world: str, arms: Mapping[str, Sequence[Result]]) -> str:
    def draw(axes: Any) -> None:
        for number, results in enumerate(arms.values()):
            curves = [{step: 100 * one.verdicts(step).mean() for step in one.steps} for one in results]
            common = sorted(set.intersection(*map(set, curves)))  # runs of equal time end at steps of their own
            axes.plot(common, [np.mean([curve[step] for curve in curves]) for step in common], color=f"C{number}")
            for curve in curves:
                axes.scatter(list(curve), list(curve.values()), s=4, color=f"C{number}", alpha=0.4)
        axes.set_xlabel("step")
        axes.set_ylabel("accuracy (%)")

    return draw_svg(f"{study.title}: {world}", [_title(study, arm) for arm in arms], draw)
