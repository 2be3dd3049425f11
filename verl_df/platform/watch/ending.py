# SPDX-License-Identifier: Apache-2.0
"""How a command ended, what its output said about it, and the block that tells the user."""

from __future__ import annotations

import re
import shlex
import signal
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

STALLED = 124  # as timeout(1)
TAIL_LINES = 60
COMMAND_LENGTH = 160
LINE_LENGTH = 240
DISK_FULL = "the disk is full"
# A command that writes this after a signal gets `Settings.stop_limit` to end.
WILL_STOP = "will stop after this step with a checkpoint"
# Lines of Ray 2.60 and vLLM 0.24 when a worker is gone; the run often hangs afterwards.
SIGNS = (
    (re.compile(r"EngineDeadError|EngineCore (died|encountered)|engine core exited"), "a vLLM engine died"),
    (re.compile(r"Worker proc \S+ died unexpectedly"), "a vLLM worker died"),
    (re.compile(r"ActorDiedError|ActorUnavailableError|[Ww]orker died|[Aa]ctor (is dead|died)"), "a Ray worker died"),
    (re.compile(r"No space left on device|Errno 28\b|Disk quota exceeded"), DISK_FULL),
    # what torch says of a checkpoint that it could not write to the end
    (re.compile(r"PytorchStreamWriter failed|inline_container\.cc.*(unexpected pos|write failed)"), DISK_FULL),
)
_CLASS = re.compile(r"\bclass_name: (\w+)")
_ERROR = re.compile(r"Error\b|Exception\b|^error:")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_HINTS = {signal.SIGKILL: ": the kernel does that when memory runs out, or somebody did by hand"}


@dataclass(frozen=True)
class Ending:
    """Why a command is at its end, and the exit status to hand on. `why` is empty where it succeeded."""

    why: str
    status: int


@dataclass
class Findings:
    """What the lines of an output tell about its end.

    Attributes:
        signs: the first line of each kind of `SIGNS`, by its meaning.
        will_stop: whether the command has said `WILL_STOP`.
        errors, tail: the last lines that name an error, and the last lines.
    """

    signs: dict[str, str] = field(default_factory=dict)
    worker: str = ""
    will_stop: bool = False
    errors: deque[str] = field(default_factory=lambda: deque(maxlen=TAIL_LINES))
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=TAIL_LINES))

    def take(self, line: str) -> None:
        """Look at a line, given without its end."""
        line = _COLOUR.sub("", line)
        if not line.strip():
            return
        self.tail.append(line)
        self.will_stop = self.will_stop or WILL_STOP in line
        if _ERROR.search(line) and "UserWarning" not in line:
            self.errors.append(line)
        meaning = next((meaning for pattern, meaning in SIGNS if pattern.search(line)), None)
        if meaning is not None:
            self.signs.setdefault(meaning, line.strip())
        name = _CLASS.search(line)
        if name and not self.worker:
            self.worker = name[1]  # in the lines after Ray's sign

    def told(self) -> list[str]:
        """One line for each sign."""
        worker = {"a Ray worker died": f" ({self.worker})" if self.worker else ""}
        return [f"{meaning}{worker.get(meaning, '')}: {_cut(line)}" for meaning, line in self.signs.items()]


def own_end(returncode: int) -> Ending:
    """The ending of a command that nobody ended: as `subprocess` gives it, or as a shell hands a signal on."""
    if returncode == 0:
        return Ending("", 0)
    number = -returncode if returncode < 0 else returncode - 128
    if number in signal.valid_signals():
        name = signal.Signals(number)
        return Ending(f"it was ended by {name.name}{_HINTS.get(name, '')}", 128 + number)
    return Ending(f"it failed with exit status {returncode}", returncode)


def signalled_end(number: signal.Signals, will_stop: bool, returncode: int | None) -> Ending:
    """The ending of a command that a signal was passed on to.

    Args:
        number: the signal.
        will_stop: whether the command had answered with `WILL_STOP`.
        returncode: None: it is still running.
    """
    how = ""
    if will_stop and returncode == 128 + number:
        how = ", in good order"
    elif will_stop and returncode == 0:
        how = ", when it had come to its end"
    elif will_stop:
        how = " before its step was done"
    return Ending(f"stopped by {name_of(number)}{how}", 128 + number)


def name_of(number: signal.Signals) -> str:
    """A signal as a user knows it."""
    return "Ctrl-C" if number == signal.SIGINT else number.name


def block(ending: Ending, command: list[str], log: Path, go_on: str, findings: Findings) -> str:
    """What the user is told: the same shape, whatever happened."""
    last = [_cut(findings.tail[-1].strip())] if findings.tail else []
    rows = [
        ("ended", [ending.why]),
        ("command", [_cut(shlex.join(command), COMMAND_LENGTH)]),
        ("found", findings.told()),
        ("last line", last),
        ("log", [str(log)]),
        ("go on with", [go_on]),
    ]
    lines = [f"  {name:<12}{text}" for name, texts in rows for text in texts]
    return "\n".join(["", "-" * 16 + " this run did not come to its end " + "-" * 16, *lines, ""])


def _cut(text: str, length: int = LINE_LENGTH) -> str:
    return text if len(text) <= length else text[: length - 4] + " ..."
