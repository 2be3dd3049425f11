# SPDX-License-Identifier: Apache-2.0
"""Hands the runs of a study to several threads; a run that gets another one's device time waits for it."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from threading import Condition

from verl_df.lab.study.settings import Run


class RunQueue:
    """Runs in their order, as far as they are ready.

    Args:
        runs: to be handed out, each once.
    """

    def __init__(self, runs: Iterable[Run]) -> None:
        self._waiting = list(runs)
        self._open = {run.name for run in self._waiting}
        self._changed = Condition()

    def take(self) -> Run | None:
        """The next run, as soon as the one that it waits for is done; None when nothing is left."""
        with self._changed:
            while self._waiting:
                ready = next((run for run in self._waiting if run.like not in self._open), None)
                if ready is not None:
                    self._waiting.remove(ready)
                    return ready
                self._changed.wait()
            return None

    def done(self, run: Run) -> None:
        """A run that was taken has ended, well or not."""
        with self._changed:
            self._open.discard(run.name)
            self._changed.notify_all()

    def close(self) -> None:
        """Hand out nothing more."""
        with self._changed:
            self._waiting.clear()
            self._changed.notify_all()


def work_off(runs: Iterable[Run], work: Callable[[Run], None], jobs: int) -> None:
    """Call `work` for every run, `jobs` at a time. After an error nothing new is begun, and it is raised.

    Args:
        runs: in their order.
        work: for one run; from several threads where `jobs` is more than 1.
        jobs: at least 1.
    """
    queue = RunQueue(runs)

    def worker() -> None:
        try:
            while (run := queue.take()) is not None:
                try:
                    work(run)
                finally:
                    queue.done(run)
        except BaseException:
            queue.close()
            raise

    if jobs == 1:
        worker()  # in the main thread, which gets Ctrl-C
        return
    with ThreadPoolExecutor(jobs) as pool:
        workers = [pool.submit(worker) for _ in range(jobs)]
        try:
            for one in workers:
                one.result()
        except BaseException:
            queue.close()
            raise
