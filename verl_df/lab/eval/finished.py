# SPDX-License-Identifier: Apache-2.0
"""Finished evaluations on benchmarks, read back."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from verl_df.lab.eval.folder import RunFolder
from verl_df.lab.eval.records import PROBLEMS, SAMPLES, SCORES, Problem, Sample


class BenchmarkFolder(RunFolder[Problem]):
    """The folder of an evaluation on benchmarks."""

    rows_name, lines = "problems.jsonl", PROBLEMS
    free = frozenset({"server_url", "api_key_env", "timeout_s", "concurrency", "reward_workers", "engine"})
    needed: ClassVar = {"name": str, "n": int, "seeds": int, "seed": int, "data": dict}


@dataclass(frozen=True)
class Evaluation:
    """A finished evaluation. samples: of every problem, `n` for each of `seeds` seeds."""

    folder: Path
    settings: dict[str, Any]
    problems: list[Problem]
    samples: list[Sample]


def scores_file(root: Path, scorer: str) -> Path:
    """File of another scorer's scores."""
    return root / f"scores.{scorer}.jsonl"


def read_evaluation(root: Path, scorer: str | None = None) -> Evaluation:
    """Read a finished evaluation, its scores replaced by another scorer's where one is named.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is broken, or samples or scores are missing; the message says how to get them.
    """
    folder = BenchmarkFolder(root)
    settings, problems = folder.read_settings(), folder.read_rows()
    samples = list(SAMPLES.read(folder.samples))
    wanted = len(problems) * settings["seeds"] * settings["n"]
    known = {(problem.data, problem.problem) for problem in problems}
    strange = next((sample for sample in samples if (sample.data, sample.problem) not in known), None)
    if strange is not None:
        raise ValueError(
            f"{folder.samples}: a sample of {strange.data}, problem {strange.problem!r}, which {folder.rows} lacks"
        )
    if len({sample.key for sample in samples}) != len(samples):
        raise ValueError(f"{folder.samples}: a sample is there twice; two processes wrote to it")
    if len(samples) != wanted:
        raise ValueError(f"{root} holds {len(samples)} of {wanted} samples: run the same command again to finish it")
    if scorer is not None:
        samples = _rescored(samples, scores_file(root, scorer))
    return Evaluation(root, settings, problems, samples)


def _rescored(samples: Sequence[Sample], path: Path) -> list[Sample]:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; write it with `verl-df eval score`")
    scores = {score.key: score for score in SCORES.read(path)}
    missing = sum(sample.key not in scores for sample in samples)
    if missing:
        raise ValueError(f"{path} lacks {missing} of {len(samples)} samples: run `score` again to get them")
    return [
        replace(sample, score=scores[sample.key].score, extracted=scores[sample.key].extracted) for sample in samples
    ]
