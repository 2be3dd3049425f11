# SPDX-License-Identifier: Apache-2.0
"""r_task by verl's custom reward function, outside verl."""

import asyncio
import inspect
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from verl_df.method.checks import check_reward


@dataclass(frozen=True)
class Answer:
    """What is judged: the columns of the row, and the text of a response."""

    data_source: str
    text: str
    ground_truth: Any
    extra_info: dict[str, Any]


class TaskReward:
    """r_task in [0, 1] by a reward function of verl's form, plain or `async`.

    Args:
        path: its module, `pkg://package.module` or a file; None: verl's `default_compute_score`.
        name: of the function.
        workers: answers judged at a time; more than one only helps a function that waits for an endpoint.

    Raises:
        ValueError: the function cannot be loaded.
    """

    def __init__(self, path: str | None, name: str = "compute_score", workers: int = 1) -> None:
        self._function = load_function(path, name) if path else _default()
        self._workers = workers
        self._name = f"{path or 'verl.utils.reward_score'}:{name if path else 'default_compute_score'}"

    def score(self, answers: Sequence[Answer]) -> list[float]:
        """r_task of each answer: `acc` of what the function returns, else `score`, else the number itself.

        Raises:
            ValueError: the result is no number in [0, 1], or the function does not know the data source.
        """
        if inspect.iscoroutinefunction(self._function):
            results = asyncio.run(self._gather(answers))
        elif self._workers == 1:  # a function with a time limit by signal works in the main thread only
            results = [self._function(**_arguments(answer)) for answer in answers]
        else:
            with ThreadPoolExecutor(self._workers) as pool:
                results = list(pool.map(lambda answer: self._function(**_arguments(answer)), answers))
        return [self._value(result) for result in results]

    async def _gather(self, answers: Sequence[Answer]) -> list[Any]:
        slots = asyncio.Semaphore(self._workers)

        async def one(answer: Answer) -> Any:
            async with slots:
                return await self._function(**_arguments(answer))

        return await asyncio.gather(*map(one, answers))

    def _value(self, result: Any) -> float:
        if isinstance(result, Mapping):
            if "acc" not in result and "score" not in result:
                raise ValueError(f"{self._name} returned {sorted(result)}: it must have 'acc' or 'score'")
            result = result.get("acc", result.get("score"))
        try:
            value = float(result)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{self._name} returned {result!r}: give a number, or a dict with acc or score") from error
        check_reward(f"{self._name}: a response", value)
        return value


def load_function(path: str, name: str) -> Any:
    """A function in `pkg://package.module` or a file, as verl names them. Raises: ValueError if it is not there."""
    from verl.utils.import_utils import load_extern_object  # importing verl takes seconds

    try:
        return load_extern_object(path, name)
    except (ImportError, AttributeError, FileNotFoundError) as error:
        raise ValueError(f"cannot load {name!r} from {path!r}: {error}") from error


def _default() -> Any:
    from verl.utils.reward_score import default_compute_score

    def compute_score(**arguments: Any) -> Any:
        try:
            return default_compute_score(**arguments)
        except NotImplementedError as error:
            raise ValueError(f"{error} (verl has no reward for this data source: give --reward-path)") from error

    return compute_score


def _arguments(answer: Answer) -> dict[str, Any]:
    return {
        "data_source": answer.data_source,
        "solution_str": answer.text,
        "ground_truth": answer.ground_truth,
        "extra_info": answer.extra_info,
    }
