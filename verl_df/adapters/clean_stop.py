# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C and SIGTERM end a run after the step that it is in, with a checkpoint.

The signal reaches the driver, and the trainer is an actor elsewhere. Between them is a file in the folder of the
checkpoints, which both see: the driver makes it, and the trainer removes it when it ends the run for it. What is still
there when the run is over has changed nothing: it had come to its end anyway.
"""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from verl_df.platform.watch.ending import WILL_STOP

FILE = "stop_after_this_step"
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """A request that a run end with the step that it is in.

    Args:
        folder: of the run's checkpoints.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE

    def make(self) -> None:
        """Ask for it."""
        self._file.touch()

    def made(self) -> bool:
        """Whether somebody asks for it."""
        return self._file.exists()

    def take(self) -> None:
        """Say that the run ends for it; or forget it, where nobody asks any more."""
        self._file.unlink(missing_ok=True)


class StopOnSignal:
    """The driver's side of a clean stop.

    Attributes:
        number: the signal that asked for it; None: none did.
    """

    def __init__(self, request: StopRequest) -> None:
        self._request = request
        self._before: dict[signal.Signals, Any] = {}
        self.number: signal.Signals | None = None

    def listen(self) -> None:
        """From now on the first signal asks, and a second one does what it does at this moment."""
        for number in SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN:  # as in a background job of a shell
                self._before[number] = signal.signal(number, self._ask)

    def forget(self) -> None:
        """From now on signals do what they did before."""
        while self._before:
            signal.signal(*self._before.popitem())

    @property
    def status(self) -> int:
        """Exit status of a run that failed at nothing: 128 + n if signal n ended it, 0 if it came to its end."""
        return 0 if self.number is None or self._request.made() else 128 + self.number

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.forget()
        self.number = signal.Signals(number)
        self._request.make()
        name = "Ctrl-C" if number == signal.SIGINT else self.number.name
        # not print: the signal may have come in the middle of one
        os.write(2, f"{name}: {WILL_STOP}; press Ctrl-C again to end now\n".encode())


@contextmanager
def stop_on_signal(folder: Path) -> Iterator[StopOnSignal]:
    """What listens to signals for the run whose checkpoints lie in `folder`; nothing is left of it behind the block."""
    request = StopRequest(folder)
    request.take()  # of a run that was killed
    stop = StopOnSignal(request)
    try:
        yield stop
    finally:
        stop.forget()
        request.take()


class ListeningRunner:
    """verl's task runner, made when Ray has started: its start replaces the handler of SIGTERM.

    Args:
        runner: the actor class that verl's `run_ppo` is to make an actor of.
        listen: called just before.
    """

    def __init__(self, runner: Any, listen: Callable[[], None]) -> None:
        self._runner, self._listen = runner, listen

    def options(self, **options: Any) -> "ListeningRunner":
        """Ray's: the same with these options."""
        return ListeningRunner(self._runner.options(**options), self._listen)

    def remote(self) -> Any:
        """Ray's: the actor's handle."""
        self._listen()
        return self._runner.remote()
