# SPDX-License-Identifier: Apache-2.0
"""The trainer's validation, read from the files that it leaves, and the same problems answered by another engine."""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from verl_df.io.json_lines import read_lines
from verl_df.io.json_text import json_object
from verl_df.io.metrics import parse_metrics

# verl names the mean over one response a problem so (trainer/ppo/metric_utils.py): data source, variable, responses.
_METRIC = re.compile(r"val-core/(.+)/(acc|reward)/mean@(\d+)")
# Accuracies of one number of problems differ by at least one problem's share, or by rounding.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Solved:
    """One problem as the merged model answered it. row: of the data file. prompt: decoded, as verl's dump has it.
    right: r_task in [0, 1].
    """

    row: int
    data_source: str
    prompt: str
    ground_truth: str
    output: str
    right: float


@dataclass(frozen=True)
class Disagreement:
    """A problem on which the trainer's validation had another result. theirs: the trainer's r_task and output."""

    ours: Solved
    their_right: float
    their_output: str


def trainer_accuracy(metrics: Path, step: int) -> dict[str, float]:
    """Accuracy of each data source at `step`, from the file of verl's `file` logger.

    The last entry of the step counts: a step can be logged twice where a run was resumed.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no greedy validation at that step; what there is instead is in the message.
    """
    if not metrics.is_file():
        raise FileNotFoundError(f"{metrics}: no such file; verl writes it with trainer.logger=[file]")
    found: dict[str, float] = {}
    steps, several = set(), set()
    for _, (logged, data) in read_lines(metrics, parse_metrics):
        for name, value in data.items():
            if match := _METRIC.fullmatch(name):
                steps.add(logged)
                if logged == step:
                    several.add(int(match[3]))
                    found[match[1]] = value
    if not found:
        raise ValueError(
            f"{metrics}: no validation at step {step} (there is one at {sorted(steps)}); "
            "validate where checkpoints are saved (trainer.test_freq, trainer.save_freq)"
        )
    if several != {1}:
        raise ValueError(
            f"{metrics}: the validation at step {step} is over {sorted(several)} responses a problem; only a greedy "
            "one (rollout.val_kwargs.n=1, temperature=0) can be repeated"
        )
    return found


def accuracies(solved: Sequence[Solved]) -> dict[str, float]:
    """Mean r_task of each data source."""
    by_source: dict[str, list[float]] = defaultdict(list)
    for one in solved:
        by_source[one.data_source].append(one.right)
    return {source: sum(rights) / len(rights) for source, rights in by_source.items()}


def differing_sources(solved: Sequence[Solved], trainer: dict[str, float]) -> dict[str, float]:
    """By how many problems our total exceeds the trainer's, for each data source where it is not the same.

    Raises:
        ValueError: the trainer validated on other data sources.
    """
    ours = accuracies(solved)
    if ours.keys() != trainer.keys():
        raise ValueError(
            f"the data are of {sorted(ours)}, the trainer validated on {sorted(trainer)}: give the run's data.val_files"
        )
    sizes = Counter(one.data_source for one in solved)
    gaps = {source: (ours[source] - trainer[source]) * sizes[source] for source in ours}
    return {source: gap for source, gap in gaps.items() if abs(gap) > _ROUNDING * sizes[source]}


def disagreements(solved: Sequence[Solved], dump: Path) -> list[Disagreement]:
    """The problems with another r_task in the trainer's dump (trainer.validation_data_dir, one file a step).

    The dump has no row numbers: problems are found by prompt and ground truth, and of several that share them those
    with the same output belong together.

    Raises:
        ValueError: the dump is of other problems.
    """
    theirs: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for _, entry in read_lines(dump, _dumped):
        theirs[entry["input"], str(entry.get("gts"))].append(entry)
    ours: dict[tuple[str, str], list[Solved]] = defaultdict(list)
    for one in solved:
        ours[one.prompt, one.ground_truth].append(one)
    sizes = {key: len(own) for key, own in ours.items()}
    if sizes != {key: len(own) for key, own in theirs.items()}:
        raise ValueError(f"{dump}: holds other problems than the data, or several responses to one")
    return [found for key, own in ours.items() for found in _unequal(own, theirs[key])]


def _unequal(ours: list[Solved], theirs: list[dict[str, Any]]) -> list[Disagreement]:
    left, open_ours = list(theirs), []
    for one in ours:
        same = next((entry for entry in left if entry["output"] == one.output and _right(entry) == one.right), None)
        if same is None:
            open_ours.append(one)
        else:
            left.remove(same)
    # other words, the same result: no disagreement
    pairs = zip(sorted(open_ours, key=lambda one: one.right), sorted(left, key=_right), strict=True)
    return [Disagreement(one, _right(entry), entry["output"]) for one, entry in pairs if one.right != _right(entry)]


def _dumped(line: str) -> dict[str, Any]:
    entry = json_object(line, "a response of verl's validation")
    texts = (entry.get("input"), entry.get("output"))
    rights = (entry.get("acc"), entry.get("score"))
    if not all(isinstance(one, str) for one in texts) or not any(isinstance(one, int | float) for one in rights):
        raise ValueError("expected input and output as texts, and acc or score as a number")
    return entry


def _right(entry: dict[str, Any]) -> float:
    return float(entry["acc"] if entry.get("acc") is not None else entry["score"])
