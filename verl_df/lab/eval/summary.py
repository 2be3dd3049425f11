# SPDX-License-Identifier: Apache-2.0
"""One finished evaluation as evaluation.md and evaluation.json: accuracy, what could not be read, and parts."""

from pathlib import Path
from typing import Any

import pandas as pd

from verl_df.io.files import write_json, write_text
from verl_df.lab.eval.benchmarks import BREAKDOWN, columns, title
from verl_df.lab.eval.figures import Cell, cell, figure_name, ks, make_run
from verl_df.lab.eval.finished import Evaluation, read_evaluation
from verl_df.lab.eval.intervals import format_interval, format_value
from verl_df.lab.eval.settings import REWARD
from verl_df.lab.markdown import markdown_table

EXPLANATION = """\
Accuracy: mean over all samples, in brackets the 95% bootstrap interval over problems. No answer: responses in which the
benchmark's rule finds none; they count as wrong. Cut: responses ended by the length limit.
"""


def write_summary(folder: Path) -> str:
    """Compute the figures of a finished evaluation and write them into its folder. Returns the Markdown page.

    Raises:
        FileNotFoundError, ValueError: as `read_evaluation`.
    """
    evaluation = read_evaluation(folder)
    run = make_run(evaluation.settings["name"], [evaluation])
    counts = [1, *ks([run])]
    given = evaluation.settings["data"]
    content: dict[str, dict[str, Any]] = {}
    for name in (name for name in columns(given) if name in given):
        cells = {figure_name(k): cell(run, name, k) for k in counts}
        content[name] = {"figures": cells, **_health(evaluation, name), "parts": _parts(evaluation, name)}
    page = _page(evaluation, content)
    for one in content.values():
        one["figures"] = {name: found and found.plain() for name, found in one["figures"].items()}
    write_json(folder / "evaluation.json", {"settings": evaluation.settings, "data": content})
    write_text(folder / "evaluation.md", page)
    return page


def _health(evaluation: Evaluation, data: str) -> dict[str, float | None]:
    """Shares of responses without an answer and of those that were cut, and mean tokens."""
    samples = pd.DataFrame([vars(sample) for sample in evaluation.samples if sample.data == data])
    # another reward function does not say what it read
    says = evaluation.settings.get("reward_path") == REWARD
    return {
        "samples": len(samples),
        "no_answer": float(samples["extracted"].isna().mean()) if says else None,
        "cut": float((~samples["finished"]).mean()),
        "tokens": float(samples["tokens"].mean()),
    }


def _parts(evaluation: Evaluation, data: str) -> dict[str, dict[str, dict[str, float]]]:
    """Accuracy by the values of the source's own keys: key, then value, then accuracy and number of problems."""
    problems = {problem.problem: problem for problem in evaluation.problems if problem.data == data}
    samples = [sample for sample in evaluation.samples if sample.data == data]
    scores = pd.Series([sample.score for sample in samples])
    found = {}
    for key in BREAKDOWN.get(next(iter(problems.values())).data_source, ()):
        by = [str(problems[sample.problem].extra_info.get(key, "")) for sample in samples]
        found[key] = {
            value: {
                "accuracy": float(own.to_numpy().mean()),
                "problems": round(len(own) * len(problems) / len(samples)),
            }
            for value, own in scores.groupby(by)
        }
    return found


def _page(evaluation: Evaluation, content: dict[str, dict[str, Any]]) -> str:
    names = list(next(iter(content.values()))["figures"])
    rows, parts = [], []
    for data, own in content.items():
        cells: list[Cell | None] = list(own["figures"].values())
        shares = ["–" if own[key] is None else format_value(own[key]) for key in ("no_answer", "cut")]
        intervals = [format_interval(None if one is None else one.over_problems) for one in cells]
        problems = sum(problem.data == data for problem in evaluation.problems)
        rows.append([title(data), str(problems), *intervals, *shares, f"{own['tokens']:.0f}"])
        parts += [
            [title(data), key, value, str(part["problems"]), format_value(part["accuracy"])]
            for key, values in own["parts"].items()
            for value, part in values.items()
        ]
    header = ["benchmark", "problems", *names, "no answer", "cut", "tokens"]
    page = f"# {evaluation.settings['name']}\n\n{markdown_table(header, rows)}\n{EXPLANATION}"
    if parts:
        page += "\n## Parts\n\n" + markdown_table(["benchmark", "by", "value", "problems", "accuracy"], parts)
    return page
