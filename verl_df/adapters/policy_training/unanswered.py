# SPDX-License-Identifier: Apache-2.0
"""Rollouts that get no samples of the repair model: each is counted, and the run goes on, within bounds."""

import logging
from collections import Counter

from verl_df.method.feedback import NoRepair
from verl_df.method.repair import Rejection

logger = logging.getLogger(__name__)

SILENT_STEPS = 3
_LOGGED = [10**power for power in range(9)]  # losses after which a line is written


class Unanswered:
    """Those of one reward worker, by reason."""

    def __init__(self) -> None:
        self._rollouts: Counter[Rejection] = Counter()

    def no_repair(self, reason: Rejection, why: BaseException) -> NoRepair:
        """What to raise for one more rollout; a line says so at the first, the tenth, the hundredth, ..."""
        self._rollouts[reason] += 1
        if self._rollouts[reason] in _LOGGED:
            text = f"{type(why).__name__}: {why}".splitlines()[0]
            logger.warning(
                "%d rollouts got no repair so far (%s), the last one: %s", self._rollouts[reason], reason, text
            )
        return NoRepair(reason, str(why))


class SilentSteps:
    """Ends a run whose repair engine says nothing any more: it would train on without difference feedback.

    Args:
        engine: what to call it in the message.
    """

    def __init__(self, engine: str) -> None:
        self._engine, self._steps = engine, 0

    def count(self, asked: int, unanswered: int) -> None:
        """Take one more step. asked, unanswered: rollouts that were sent, and those of them that got no answer.

        Raises:
            RuntimeError: in the last `SILENT_STEPS` steps with a rollout to repair, none was answered.
        """
        if asked:
            self._steps = self._steps + 1 if unanswered == asked else 0
        if self._steps >= SILENT_STEPS:
            raise RuntimeError(
                f"{self._engine} answered none of the repairs of {self._steps} steps on end: raise df.repair.timeout_s "
                "if it is slow, or look for its errors above"
            )
