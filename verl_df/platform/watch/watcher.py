# SPDX-License-Identifier: Apache-2.0
"""Runs a command until it ends, stops making progress, or somebody wants it to end."""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from verl_df.platform.watch.ending import DISK_FULL, STALLED, Ending, Findings, block, name_of, own_end, signalled_end
from verl_df.platform.watch.output import Log, Stream, Terminal
from verl_df.platform.watch.processes import Family

TICK_S = 1.0
WAIT_AFTER_SIGNAL_S = 20.0
DRAIN_S = 5.0
ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Silence:
    """Time without output, in which this process itself was awake: a closed lid or Ctrl-Z stalls nobody."""

    def __init__(self) -> None:
        self.seconds, self._seen = 0.0, time.monotonic()

    def tick(self, heard: bool) -> None:
        now = time.monotonic()
        self.seconds = 0.0 if heard else self.seconds + min(now - self._seen, 2 * TICK_S)
        self._seen = now


@dataclass(frozen=True)
class Settings:
    """How a command is watched.

    Attributes:
        log: file that receives everything.
        limit: seconds without output after which the command is ended.
        go_on: the command with which the user goes on.
        lifelines: processes that must stay alive: the script that the user started, and what had started it.
        kill_after: seconds that processes get to end by themselves.
        stop_limit: seconds that a command gets which says, after a signal, that it will end in good order.
        brief: the terminal gets what a line means, and nothing for the many that mean nothing to a user.
    """

    log: Path
    limit: float
    go_on: str
    lifelines: tuple[int, ...]
    kill_after: float
    stop_limit: float
    brief: bool


class Watcher:
    """One command and its outputs."""

    def __init__(self, command: list[str], settings: Settings, findings: Findings) -> None:
        """Raises: OSError: the log cannot be made, or the command cannot be started."""
        self._settings, self._findings, log = settings, findings, Log(settings.log)
        self._signals: list[int] = []
        for number in ENDING_SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN:  # nohup ignores SIGHUP
                signal.signal(number, lambda number, _: self._signals.append(number))
        self._family = Family(command)
        self._command = self._family.command
        self._selector = selectors.DefaultSelector()
        self._streams = []
        for pipe, own in ((self._command.stdout, sys.stdout), (self._command.stderr, sys.stderr)):
            stream = Stream(pipe, log, Terminal(own.buffer), findings, settings.brief)
            self._streams.append(stream)
            self._selector.register(pipe, selectors.EVENT_READ, stream)
        self._selector.register(os.pidfd_open(self._command.pid), selectors.EVENT_READ, None)

    def run(self) -> Ending:
        """Watch to the end; nothing that the command started is alive then.

        Raises:
            OSError: the output could not be written.
        """
        try:
            ending = self._watch([os.pidfd_open(process) for process in self._settings.lifelines])
            self._drain(0)
        finally:
            for stream in self._streams:
                stream.only_log()  # what those who are ended say is not why
            left = self._family.end(self._settings.kill_after)
        self._drain(DRAIN_S)
        if left:
            return Ending(f"{ending.why or 'done'}; not even SIGKILL ends the processes {left}", ending.status or 1)
        return ending

    def _watch(self, lifelines: list[int]) -> Ending:
        silence = Silence()
        while self._command.poll() is None:
            silence.tick(self._listen(TICK_S))
            self._family.reap()
            if self._signals:
                return self._pass_signal_on()
            if silence.seconds >= self._settings.limit:
                return Ending(f"stopped after {self._settings.limit:g} s without any output (STALL_LIMIT)", STALLED)
            if any(map(_readable, lifelines)):
                return Ending("stopped, for the script that had started it was ended", 128 + signal.SIGTERM)
        return own_end(self._command.returncode)

    def _listen(self, seconds: float) -> bool:
        """Pass on what comes within a time, or until the command ends. Returns whether anything came."""
        heard = False
        events = self._selector.select(seconds)
        for key, _ in events:
            if key.data is not None:
                chunk = key.data.read()
                heard = heard or bool(chunk)
                if chunk == b"":
                    self._selector.unregister(key.fileobj)
        if not events:
            for stream in self._streams:
                stream.flush()
        return heard

    def _pass_signal_on(self) -> Ending:
        """Give the command a while to end by the signal that this process got; a second one ends the wait."""
        number = signal.Signals(self._signals[0])
        _say(f"{name_of(number)}: asking the command to end; again, and it is killed")
        self._findings.will_stop = False  # of lines before it, as of tests of this
        self._family.pass_on(number)
        start, silence = time.monotonic(), Silence()
        while self._command.poll() is None and len(self._signals) == 1 and silence.seconds < self._settings.limit:
            silence.tick(self._listen(TICK_S))
            self._family.reap()
            wait = self._settings.stop_limit if self._findings.will_stop else WAIT_AFTER_SIGNAL_S
            if time.monotonic() >= start + wait:
                break
        self._drain(0)
        return signalled_end(number, self._findings.will_stop, self._command.returncode)

    def _drain(self, seconds: float) -> None:
        """Pass on what is still in the pipes, for some time at most: a process that is not ours may hold one."""
        end = time.monotonic() + seconds
        for stream in self._streams:
            while stream.read() != b"" and time.monotonic() < end:  # one read empties a pipe
                time.sleep(0.02)
            stream.flush()


def _readable(descriptor: int) -> bool:
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        return bool(selector.select(0))


def _say(text: str) -> None:
    with contextlib.suppress(OSError):  # standard error leads nowhere, or to the full disk
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def watch(command: list[str], settings: Settings) -> int:
    """Run `command`; whatever ends it but success is told on standard error. Returns the exit status to end with."""
    findings = Findings()
    try:
        ending = Watcher(command, settings, findings).run()
    except OSError as error:
        ending = _of_error(error)
    if ending.status != 0:
        if settings.brief:
            _say("\n".join([*findings.errors, "---- end of the log ----", *findings.tail]))
        _say(block(ending, command, settings.log, settings.go_on, findings))
    return ending.status


def _of_error(error: OSError) -> Ending:
    """What this process itself could not do: write, or start the command (the shell's exit statuses)."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Ending(f"{DISK_FULL}: its output could not be written", 1)
    return Ending(f"it cannot be watched: {error}", 127 if error.errno == errno.ENOENT else 126)
