# SPDX-License-Identifier: Apache-2.0
"""The folder of one evaluation: settings.json, problems.jsonl and samples.jsonl, from which all figures are made."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from verl_df.io.files import write_json
from verl_df.lab.evaluation.records import Problem, Sample, Score, read_records, write_records

# Settings that samples do not depend on; a run may go on with others.
FREE = frozenset({"server_url", "api_key_env", "timeout_s", "concurrency", "reward_workers", "engine"})


class EvaluationFolder:
    """Paths of an evaluation. `root` need not exist yet."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.settings = root / "settings.json"
        self.problems = root / "problems.jsonl"
        self.samples = root / "samples.jsonl"
        self.model = root / "model"

    def scores(self, scorer: str) -> Path:
        """File of another scorer's scores."""
        return self.root / f"scores.{scorer}.jsonl"

    def keep(self, settings: Mapping[str, Any], problems: Sequence[Problem]) -> None:
        """Write settings and problems, or compare them with those of the run that goes on here.

        Raises:
            ValueError: what differs.
        """
        if self.settings.exists():
            self._check_settings(settings)
        if self.problems.exists():
            if list(read_records(self.problems, Problem)) != list(problems):
                raise ValueError(f"{self.problems}: the data have changed since; give the old files, or another --out")
        else:
            write_records(self.problems, problems)
        write_json(self.settings, dict(settings))

    def read_settings(self) -> dict[str, Any]:
        """The settings. Raises: ValueError for a file of another kind, FileNotFoundError for none."""
        if not self.settings.is_file():
            raise FileNotFoundError(f"{self.root} holds no {self.settings.name}: it is no evaluation")
        try:
            content = json.loads(self.settings.read_text(encoding="utf-8"))
            missing = [name for name in ("name", "n", "seeds", "seed", "data") if name not in content]
        except (json.JSONDecodeError, TypeError) as error:
            raise ValueError(f"{self.settings}: not the settings of an evaluation ({error})") from error
        if missing or not isinstance(content, dict):
            raise ValueError(f"{self.settings}: not the settings of an evaluation (no {', '.join(missing)})")
        return content

    def _check_settings(self, settings: Mapping[str, Any]) -> None:
        there = self.read_settings()
        names = [name for name in {**settings, **there} if name not in FREE]
        differing = [name for name in names if settings.get(name) != there.get(name)]
        if differing:
            changes = "; ".join(f"{name} {there.get(name)!r} there, {settings.get(name)!r} now" for name in differing)
            raise ValueError(f"{self.root} was begun with other settings: {changes}. Give the same, or another --out")


@dataclass(frozen=True)
class Evaluation:
    """A finished evaluation. samples: of every problem, `n` for each of `seeds` seeds."""

    folder: Path
    settings: dict[str, Any]
    problems: list[Problem]
    samples: list[Sample]


def read_evaluation(root: Path, scorer: str | None = None) -> Evaluation:
    """Read a finished evaluation, its scores replaced by another scorer's where one is named.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is broken, or samples or scores are missing; the message says how to get them.
    """
    folder = EvaluationFolder(root)
    settings = folder.read_settings()
    for path in (folder.problems, folder.samples):
        if not path.is_file():
            raise FileNotFoundError(f"{root} holds no {path.name}: the evaluation has not been run")
    problems = list(read_records(folder.problems, Problem))
    samples = list(read_records(folder.samples, Sample))
    wanted = len(problems) * settings["seeds"] * settings["n"]
    if len({sample.key for sample in samples}) != len(samples):
        raise ValueError(f"{folder.samples}: a sample is there twice; two processes wrote to it")
    if len(samples) != wanted:
        raise ValueError(f"{root} holds {len(samples)} of {wanted} samples: run the same command again to finish it")
    if scorer is not None:
        samples = _rescored(samples, folder.scores(scorer))
    return Evaluation(root, settings, problems, samples)


def _rescored(samples: Sequence[Sample], path: Path) -> list[Sample]:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; write it with `verl-df eval score`")
    scores = {score.key: score for score in read_records(path, Score)}
    missing = sum(sample.key not in scores for sample in samples)
    if missing:
        raise ValueError(f"{path} lacks {missing} of {len(samples)} samples: run `score` again to get them")
    return [
        replace(sample, score=scores[sample.key].score, extracted=scores[sample.key].extracted) for sample in samples
    ]
