# SPDX-License-Identifier: Apache-2.0
"""Equal device time: what a run with a budget is given, by the ledgers of others, and whether it took that.

The paper gives its baseline the GPU time of DF with the training of its repair model. Everything here comes from what
was recorded: the same ledgers make the same budget, whenever the run is started or started again.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from verl_df.lab.study.results import Result
from verl_df.lab.study.settings import BUDGET_KEY, Run
from verl_df.ledger.spent import Spent, read_rows


class NotKnownYet(ValueError):
    """The device time that a run is to get has not been recorded."""


def granted_to(run: Run, finished: Mapping[str, Result]) -> tuple[float, ...]:
    """Device-seconds of a run with a budget: of the run that it is like, then of each of `budget.plus`.

    Args:
        run: with a budget.
        finished: results by the name of their run.

    Raises:
        NotKnownYet: that run has no result yet, or one without a ledger.
        FileNotFoundError: a ledger of `plus` is not there.
    """
    extra = granted_beside(run)
    like = finished.get(str(run.like))
    if like is None:
        raise NotKnownYet(
            f"{run.name}: it gets the device time of {run.like}, which has no result yet, so its ledger is not whole: "
            "train that first, with the same --out or --results"
        )
    if like.device_seconds is None:
        raise NotKnownYet(
            f"{run.name}: it gets the device time of {run.like}, whose result has none: stock verl writes no ledger "
            "(df.group.mode=off is the same and does), nor had results one before they kept it. Train it again"
        )
    return (like.device_seconds, *extra)


def granted_beside(run: Run) -> list[float]:
    """Device-seconds of each of `budget.plus`. Raises: FileNotFoundError, ValueError: as `read_rows`, with the run."""
    assert run.budget is not None
    seconds = []
    for one in run.budget.plus:
        try:
            seconds.append(Spent.of(read_rows(Path(one))).device_seconds.total if isinstance(one, str) else float(one))
        except FileNotFoundError as error:
            raise FileNotFoundError(f"{run.name}: budget.plus: {error}") from error
    return seconds


def check_before(wanted: Iterable[Run], finished: Mapping[str, Result]) -> None:
    """What would keep a run from getting its budget, before anything is trained.

    Raises:
        NotKnownYet: the run that it is like has no result and is not among `wanted`.
        FileNotFoundError: a ledger of `plus` is not there.
    """
    wanted = list(wanted)
    known = {*finished, *(run.name for run in wanted)}
    for run in wanted:
        if run.budget is not None:
            granted_beside(run)
            if run.like not in known:
                granted_to(run, finished)


def check_likes(results: Sequence[Result], runs: Iterable[Run]) -> None:
    """Runs got the time of the results that are here now.

    Raises:
        ValueError: one got that of a result that was trained again since.
    """
    by_name, like = {one.name: one for one in results}, {run.name: run.like for run in runs}
    for one in results:
        other = by_name.get(str(like[one.name]))
        if one.granted and other is not None and other.device_seconds != one.granted[0]:
            raise ValueError(
                f"{one.name} got the device time of {other.name} as it was, {one.granted[0]:.1f} s; {other.name} was "
                f"trained again since and took {other.device_seconds}: take the result of {one.name} out too"
            )


def budget_override(granted: Sequence[float]) -> list[str]:
    """The override that makes a run end in time; none without a budget."""
    return [f"{BUDGET_KEY}={sum(granted)!r}"] if granted else []
