# SPDX-License-Identifier: Apache-2.0
"""The rows to evaluate on: chosen, checked, and named so that two runs can be paired."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from verl_df.lab.engine import answer_to
from verl_df.lab.eval.records import Problem
from verl_df.lab.generation import Request
from verl_df.lab.rl_data import Prompt, RLData
from verl_df.lab.task_reward import TaskReward


@dataclass(frozen=True)
class DataSet:
    """One data set.

    Attributes:
        rows: the file.
        problems: the chosen ones, in the order of the file.
    """

    name: str
    rows: RLData
    problems: list[Problem]

    def requests(self, wanted: Sequence[Problem], patch_size: int) -> Iterator[tuple[Problem, Request]]:
        """The wanted problems, in the order of the file, with what a model with such patches is asked."""
        by_index = {problem.index: problem for problem in wanted}
        for prompt in self.rows.prompts(by_index.keys()):
            yield by_index[prompt.index], Request(prompt.messages, prompt.pictures(patch_size), number=prompt.index)


def read_data(name: str, path: Path, limit: int | None) -> DataSet:
    """Read and check a data set.

    A problem is named by `extra_info.id` where every row has one of its own, else by a digest of prompt, images and
    answer.

    Raises:
        FileNotFoundError, ValueError: as `RLData`; no rows.
    """
    rows = RLData(path)
    wanted = {int(index) for index in rows.choose(limit, 0)}
    if not wanted:
        raise ValueError(f"{path}: there are no rows to evaluate")
    rows.check(wanted)
    problems, digests = [], []
    for prompt in rows.prompts(wanted):
        problems.append(_problem(name, prompt))
        digests.append(digest(prompt.messages, prompt.image_names(), str(prompt.ground_truth)))
    ids = [problem.problem for problem in problems]
    if not all(ids) or len(set(ids)) < len(ids):
        names = unique_names(digests)
        problems = [replace(problem, problem=own) for problem, own in zip(problems, names, strict=True)]
    return DataSet(name, rows, problems)


def check_reward_knows(data: DataSet, reward: TaskReward, *, every_row: bool) -> None:
    """Have the reward judge an empty response, so that a row that it cannot judge is found early.

    Args:
        every_row: or only the first row of each data source, for a reward that may be slow (an endpoint's).

    Raises:
        ValueError: the first row that cannot be judged, with what is wrong.
    """
    first = {problem.data_source: problem for problem in reversed(data.problems)}
    for problem in data.problems if every_row else first.values():
        try:
            reward.score([answer_to(problem, "")])
        except ValueError as error:
            raise ValueError(f"{data.rows.path}, row {problem.index}: it cannot be scored: {error}") from error


def _problem(name: str, prompt: Prompt) -> Problem:
    return Problem(
        data=name,
        problem=str(prompt.extra_info.get("id") or ""),
        index=prompt.index,
        data_source=prompt.data_source,
        prompt=prompt.messages[-1]["content"],
        ground_truth=str(prompt.ground_truth),
        extra_info=prompt.extra_info,
    )


def digest(*parts: Any) -> str:
    """16 hexadecimal digits that name a row by its content."""
    text = json.dumps(parts, ensure_ascii=False, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def unique_names(digests: Iterable[str]) -> list[str]:
    """The digests, with a number after those that were there before, so that equal rows pair by their order."""
    seen: Counter[str] = Counter()
    names = []
    for one in digests:
        seen[one] += 1
        names.append(one if seen[one] == 1 else f"{one}-{seen[one]}")
    return names
