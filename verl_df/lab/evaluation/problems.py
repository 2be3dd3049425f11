# SPDX-License-Identifier: Apache-2.0
"""The rows to evaluate on: chosen, checked, and named so that two runs can be paired."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from verl_df.lab.evaluation.records import Problem
from verl_df.lab.generation import Request
from verl_df.lab.rl_data import Prompt, RLData
from verl_df.lab.task_reward import Answer, TaskReward


@dataclass(frozen=True)
class DataSet:
    """One data set. rows: the file. problems: the chosen ones, in the order of the file."""

    name: str
    rows: RLData
    problems: list[Problem]

    def requests(self, wanted: Sequence[Problem]) -> Iterator[tuple[Problem, Request]]:
        """The wanted problems, in the order of the file, with what the model is asked."""
        by_index = {problem.index: problem for problem in wanted}
        for prompt in self.rows.prompts(by_index.keys()):
            yield by_index[prompt.index], Request(prompt.messages, prompt.pictures(), number=prompt.index)


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
    prompts = [(_problem(name, prompt), _digest(prompt)) for prompt in rows.prompts(wanted)]
    ids = [problem.problem for problem, _ in prompts]
    if all(ids) and len(set(ids)) == len(ids):
        return DataSet(name, rows, [problem for problem, _ in prompts])
    return DataSet(name, rows, _named_by_digest(prompts))


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


def answer_to(problem: Problem, text: str) -> Answer:
    """What the reward judges."""
    return Answer(problem.data_source, text, problem.ground_truth, problem.extra_info)


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


def _digest(prompt: Prompt) -> str:
    parts = [prompt.messages, prompt.image_names(), str(prompt.ground_truth)]
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False, sort_keys=True).encode()).hexdigest()[:16]


def _named_by_digest(prompts: Sequence[tuple[Problem, str]]) -> list[Problem]:
    seen: Counter[str] = Counter()
    named = []
    for problem, digest in prompts:
        seen[digest] += 1
        name = digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"
        named.append(Problem(**{**vars(problem), "problem": name}))
    return named
