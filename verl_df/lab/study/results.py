# SPDX-License-Identifier: Apache-2.0
"""What is kept of a finished run: which problems it solved at each validation, and how long it took."""

from collections.abc import Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np

from verl_df.io.json_lines import read_lines
from verl_df.io.json_text import json_object
from verl_df.io.lines import Lines
from verl_df.io.validation import Listed, checked
from verl_df.lab.report.charts import STEP_TIMER
from verl_df.lab.report.loading import METRICS_FILE, read_curves
from verl_df.lab.study.settings import Budget, Run
from verl_df.ledger.spent import LEDGER_FILE, Spent, read_rows

VALIDATION = "validation"
SHORT = 0.01  # share of a budget that may be missing: its clock is read a moment before the ledger's
PACKAGES = ("verl", "vllm", "torch", "transformers", "ray")


@checked
class Result:
    """One finished run.

    Attributes:
        world, arm, seed: which.
        env: variables of the launch script.
        overrides: of the launch script.
        versions: of the packages that matter, by name.
        problems: names of the validation problems, sorted.
        right: by validation step, one figure per problem in their order, "0" or "1".
        step_seconds: median of `timing_s/step`.
        seconds: sum of `timing_s/step`.
        device_seconds: of training, by its ledger; None where it has none, as stock verl.
        budget: of the study's file.
        granted: device-seconds that this made: of the run that it is like, then of each of `budget.plus`.
    """

    world: str
    arm: str
    seed: int
    env: dict[str, str]
    overrides: Listed[str]
    versions: dict[str, str]
    problems: Listed[str]
    right: dict[str, str]
    step_seconds: float
    seconds: float
    device_seconds: float | None = None
    budget: Budget | None = None
    granted: Listed[float] = ()

    def __post_init__(self) -> None:
        for step, bits in self.right.items():
            if len(bits) != len(self.problems):
                raise ValueError(f"{len(bits)} verdicts at step {step} for {len(self.problems)} problems")

    @property
    def name(self) -> str:
        """Of its run."""
        return f"{self.world}/{self.arm}.{self.seed}"

    @property
    def steps(self) -> list[int]:
        """With a validation, in order."""
        return sorted(map(int, self.right))

    def verdicts(self, step: int) -> np.ndarray:
        """float64 [problems], 0 or 1, in the order of `problems`."""
        return np.array([float(bit) for bit in self.right[str(step)]])


RESULTS = Lines(Result, version=1, optional=("device_seconds", "budget", "granted"))


def same_settings(result: Result, run: Run) -> bool:
    """Whether a result is of the settings that the run has now."""
    return (result.env, result.overrides, result.budget) == (run.env, run.overrides, run.budget)


def read_result(run: Run, folder: Path, granted: tuple[float, ...] = ()) -> Result:
    """The result of a run from the files that it left.

    Args:
        run: which.
        folder: its OUT, with `metrics.jsonl`, the validations, and the ledger where it writes one.
        granted: device-seconds, for a run with a budget.

    Raises:
        ValueError: no validation or no timed step, rows without the name of their problem, validations of other
            problems, or a budget that was not spent.
    """
    files = sorted((folder / VALIDATION).glob("*.jsonl"), key=lambda path: int(path.stem))
    validations = {int(path.stem): _verdicts(path) for path in files}
    if not validations:
        raise ValueError(f"{folder / VALIDATION}: the run left no validation")
    problems = sorted(next(iter(validations.values())))
    for step, verdicts in validations.items():
        if sorted(verdicts) != problems:
            raise ValueError(f"{folder}: the validation of step {step} has other problems than the first")
    seconds = [value for _, value in read_curves(folder / METRICS_FILE).get(STEP_TIMER, ())]
    if not seconds:
        raise ValueError(f"{folder / METRICS_FILE}: no {STEP_TIMER}: the run ended before its first step")
    spent = Spent.of(read_rows(folder)) if (folder / LEDGER_FILE).exists() else None
    if run.budget is not None:
        check_spent(run, spent, sum(granted))
    return Result(
        world=run.world,
        arm=run.arm,
        seed=run.seed,
        env=run.env,
        overrides=run.overrides,
        versions={name: version(name) for name in PACKAGES},
        problems=tuple(problems),
        right={str(step): _bits(validations[step], problems) for step in validations},
        step_seconds=float(np.median(seconds)),
        seconds=float(np.sum(seconds)),
        device_seconds=None if spent is None else spent.device_seconds.total,
        budget=run.budget,
        granted=granted,
    )


def check_spent(run: Run, spent: Spent | None, budget: float) -> None:
    """A run with a budget had what it was given.

    Raises:
        ValueError: it has no ledger, or its steps ended before its budget was spent.
    """
    if spent is None:
        raise ValueError(
            f"{run.name}: no {LEDGER_FILE} in its OUT: stock verl knows no budget; take the same algorithm with "
            "df.group.mode=off, which equals it to the bit, and let df.log.dir be OUT"
        )
    if spent.device_seconds.total < (1 - SHORT) * budget:
        raise ValueError(
            f"{run.name}: its {spent.steps} steps took {spent.device_seconds.total:.1f} of the {budget:.1f} "
            "device-seconds that it has: allow it more steps (trainer.total_training_steps, the toy's STEPS)"
        )


def _verdicts(path: Path) -> dict[str, bool]:
    """Whether the answer was right, by problem, of one validation as verl dumps it."""
    found: dict[str, bool] = {}
    for number, row in read_lines(path, partial(json_object, what="a sample of a validation")):
        if "problem" not in row or "acc" not in row:
            raise ValueError(f"{path}, line {number}: the reward function must return 'acc' and 'problem', a text")
        if row["problem"] in found:
            raise ValueError(f"{path}, line {number}: problem {row['problem']!r} occurs twice")
        found[row["problem"]] = row["acc"] >= 1
    return found


def _bits(verdicts: dict[str, bool], problems: Sequence[str]) -> str:
    return "".join(str(int(verdicts[problem])) for problem in problems)
