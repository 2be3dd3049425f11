# SPDX-License-Identifier: Apache-2.0
"""One finished evaluation as evaluation.md and evaluation.json: accuracy, what could not be read, and parts."""

import dataclasses
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from verl_df.io.files import write_json, write_text
from verl_df.lab.evaluation.benchmarks import BREAKDOWN, columns, title
from verl_df.lab.evaluation.figures import Cell, cell, ks, make_run
from verl_df.lab.evaluation.folder import Evaluation, read_evaluation
from verl_df.lab.evaluation.records import Problem, Sample
from verl_df.lab.evaluation.settings import REWARD
from verl_df.lab.markdown import markdown_table
from verl_df.lab.repair_eval.tables import format_interval

EXPLANATION = """\
Accuracy: mean over all samples, in brackets the 95% bootstrap interval over problems. No answer: responses in which the
benchmark's rule finds none; they count as wrong. Cut: responses ended by the length limit.
"""
Health = dict[str, float | None]


def write_summary(folder: Path) -> str:
    """Compute the figures of a finished evaluation and write them into its folder. Returns the Markdown page.

    Raises:
        FileNotFoundError, ValueError: as `read_evaluation`.
    """
    evaluation = read_evaluation(folder)
    run = make_run(evaluation.settings["name"], [evaluation])
    counts = [1, *ks([run])]
    names = [name for name in columns(evaluation.settings["data"]) if name in evaluation.settings["data"]]
    figures = {name: {k: cell(run, name, k) for k in counts} for name in names}
    says = evaluation.settings.get("reward_path") == REWARD  # another reward function does not say what it read
    health = {name: _health([one for one in evaluation.samples if one.data == name], says) for name in names}
    parts = {name: _parts(evaluation, name) for name in names}
    page = _page(evaluation, figures, health, parts)
    content = {
        "settings": evaluation.settings,
        "data": {
            name: {
                "figures": {"accuracy" if k == 1 else f"pass@{k}": _plain(one) for k, one in figures[name].items()},
                **health[name],
                "parts": parts[name],
            }
            for name in names
        },
    }
    write_json(folder / "evaluation.json", content)
    write_text(folder / "evaluation.md", page)
    return page


def _health(samples: Sequence[Sample], says: bool) -> Health:
    return {
        "samples": len(samples),
        "no_answer": float(np.mean([sample.extracted is None for sample in samples])) if says else None,
        "cut": float(np.mean([not sample.finished for sample in samples])),
        "tokens": float(np.mean([sample.tokens for sample in samples])),
    }


def _parts(evaluation: Evaluation, data: str) -> dict[str, dict[str, dict[str, float]]]:
    """Accuracy by the values of the source's own keys: key, then value, then accuracy and number of problems."""
    problems = {problem.problem: problem for problem in evaluation.problems if problem.data == data}
    samples = [sample for sample in evaluation.samples if sample.data == data]
    keys = BREAKDOWN.get(next(iter(problems.values())).data_source, ())
    return {key: _by_key(problems, samples, key) for key in keys}


def _by_key(problems: dict[str, Problem], samples: Sequence[Sample], key: str) -> dict[str, dict[str, float]]:
    scores: defaultdict[str, list[float]] = defaultdict(list)
    for sample in samples:
        scores[str(problems[sample.problem].extra_info.get(key, ""))].append(sample.score)
    each = len(samples) / len(problems)
    return {
        value: {"accuracy": float(np.mean(own)), "problems": round(len(own) / each)}
        for value, own in sorted(scores.items())
    }


def _page(
    evaluation: Evaluation,
    figures: dict[str, dict[int, Cell | None]],
    health: dict[str, Health],
    parts: dict[str, dict[str, dict[str, dict[str, float]]]],
) -> str:
    counts = list(next(iter(figures.values())))
    header = ["benchmark", "problems", "accuracy", *(f"pass@{k}" for k in counts[1:]), "no answer", "cut", "tokens"]
    rows = []
    for name, own in figures.items():
        shares = ["–" if (one := health[name][key]) is None else f"{100 * one:.1f}%" for key in ("no_answer", "cut")]
        problems = sum(problem.data == name for problem in evaluation.problems)
        cells = [format_interval("accuracy", None if own[k] is None else own[k].over_problems) for k in counts]
        rows.append([title(name), str(problems), *cells, *shares, f"{health[name]['tokens']:.0f}"])
    page = f"# {evaluation.settings['name']}\n\n{markdown_table(header, rows)}\n{EXPLANATION}"
    lines = [
        [title(name), key, value, str(part["problems"]), f"{100 * part['accuracy']:.1f}%"]
        for name, keys in parts.items()
        for key, values in keys.items()
        for value, part in values.items()
    ]
    if lines:
        page += "\n## Parts\n\n" + markdown_table(["benchmark", "by", "value", "problems", "accuracy"], lines)
    return page


def _plain(one: Cell | None) -> dict[str, Any] | None:
    return None if one is None else dataclasses.asdict(one) | {"mean": one.mean}
