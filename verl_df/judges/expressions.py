# SPDX-License-Identifier: Apache-2.0
"""Equality of mathematical expressions, bounded in time and memory, from any thread.

math-verify (sympy) may compute without end on a text that a model wrote, 9^{9^{9^9}}, and its own time limits are
signals, which only a main thread can set and which no single long operation on integers notices. So it runs in a
process of its own (`math_worker`), one per process that asks, started at the first question and again after it was
ended.
"""

import atexit
import json
import os
import select
import subprocess
import sys
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path

# Of processor time for one comparison, so that a busy machine does not change a reward; typical: 0.01 to 0.2 s.
CPU_SECONDS = 3.0
# Of the clock, if the process sleeps instead of computing.
WALL_SECONDS = 60.0
START_SECONDS = 120.0
# Of one response, whatever it and the options say; each takes at most `CPU_SECONDS`.
MAX_QUESTIONS = 48
# Of an answer; longer ones are no final answers, and parsing time grows with length.
MAX_CHARACTERS = 400
_PROGRAM = Path(__file__).with_name("math_worker.py")


class WorkerError(RuntimeError):
    """math-verify's process cannot be started: an installation at fault, not an answer."""


_questions_left: ContextVar[list[int] | None] = ContextVar("questions_left", default=None)
_hostile: OrderedDict[str, None] = OrderedDict()  # answers over which the process ended; they are not asked about again
_MAX_HOSTILE = 1024


@contextmanager
def limited_questions() -> Iterator[None]:
    """Within it at most `MAX_QUESTIONS` are asked, and none after one that took too long; they count as not equal."""
    token = _questions_left.set([MAX_QUESTIONS])
    try:
        yield
    finally:
        _questions_left.reset(token)


class _Worker:
    """The process and its pipes; one question at a time. Belongs to the process that made it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.process: subprocess.Popen[bytes] | None = None

    def ask(self, truth: str, answer: str) -> bool:
        """Ask with the lock held. False too where the process had to be ended, or ended itself."""
        question = json.dumps({"truth": truth, "answer": answer}).encode("ascii") + b"\n"
        reply = self._exchange(question)
        if not reply:
            _hostile[answer] = None
            left = _questions_left.get()
            if left is not None:
                left[0] = 0  # one such answer is enough for a call
            while len(_hostile) > _MAX_HOSTILE:
                _hostile.popitem(last=False)
        return reply == b"true\n"

    def stop(self) -> None:
        process, self.process = self.process, None
        if process is not None:
            process.kill()
            process.communicate()

    def _exchange(self, question: bytes) -> bytes:
        if self.process is None or self.process.poll() is not None:
            self._start()
        assert self.process is not None and self.process.stdin is not None
        try:
            self.process.stdin.write(question)
            self.process.stdin.flush()
        except BrokenPipeError:  # it ended after the look above, and not over this question
            self.stop()
            return self._exchange(question)
        reply = self._line(WALL_SECONDS)
        if not reply:
            self.stop()
        return reply

    def _start(self) -> None:
        self.stop()
        command = [sys.executable, "-P", str(_PROGRAM), str(CPU_SECONDS)]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)
        if self._line(START_SECONDS) != b"ready\n":
            self.stop()
            raise WorkerError(f"math-verify does not start; see what `{' '.join(command)}` says")

    def _line(self, seconds: float) -> bytes:
        """The next line, or nothing where the process ended or the time is up."""
        assert self.process is not None and self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], seconds)
        return self.process.stdout.readline() if ready else b""


_worker = _Worker()


def equal(truth: str, answer: str) -> bool:
    """Whether two LaTeX expressions (without delimiters) are equal by math-verify, exactly or to 6 decimals.

    False where one cannot be read, is longer than `MAX_CHARACTERS`, or the comparison takes more than `CPU_SECONDS`.

    Raises:
        WorkerError: math-verify does not start.
    """
    if max(len(truth), len(answer)) > MAX_CHARACTERS:
        return False
    left = _questions_left.get()
    if left is not None:
        if left[0] <= 0:
            return False
        left[0] -= 1
    # The cache is looked into with the lock held: rollouts of one prompt ask the same at the same time.
    with _worker.lock:
        return answer not in _hostile and _ask_once(truth, answer)


@lru_cache(maxsize=4096)
def _ask_once(truth: str, answer: str) -> bool:
    return _worker.ask(truth, answer)


def _forget_parents_worker() -> None:
    global _worker
    _worker = _Worker()
    _ask_once.cache_clear()


atexit.register(lambda: _worker.stop())
os.register_at_fork(after_in_child=_forget_parents_worker)
