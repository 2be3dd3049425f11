# SPDX-License-Identifier: Apache-2.0
"""A forked warm interpreter becomes the process that was asked for, and runs its program."""

import atexit
import builtins
import ctypes
import fcntl
import gc
import io
import multiprocessing
import os
import random
import resource
import runpy
import signal
import sys
import threading
from importlib.machinery import SourceFileLoader
from types import ModuleType, TracebackType
from typing import NoReturn

from setproctitle import setproctitle

WARM_PYTHON = os.path.join(os.path.dirname(os.path.abspath(__file__)), "python")
PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


def become(request: dict, descriptors: list[int], changed: dict[str, tuple[str | None, str]], parent: int) -> None:
    """Take over what the stand-in had: see `client.request`. What the warm interpreter had open is closed.

    Args:
        request: arguments, environment, folder and the rest.
        descriptors: the stand-in's open files, in the order of `request["descriptors"]`.
        changed: variables that the imports set, by name: value before (None: unset), value after. They would have set
            them in this process, too.
        parent: the warm interpreter; if it ends, so does this process.
    """
    os.setsid()
    _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    place_descriptors(descriptors, request["descriptors"])
    os.environ.clear()
    os.environ.update(request["environment"])
    os.environ.update({name: new for name, (old, new) in changed.items() if os.environ.get(name) == old})
    os.chdir(request["folder"])
    os.umask(request["umask"])
    os.setpriority(os.PRIO_PROCESS, 0, max(request["nice"], os.getpriority(os.PRIO_PROCESS, 0)))
    os.sched_setaffinity(0, request["processors"])
    for name, limit in request["limits"].items():
        if resource.getrlimit(getattr(resource, name)) != tuple(limit):
            resource.setrlimit(getattr(resource, name), tuple(limit))
    set_signals(set(request["ignored"]), request["blocked"])
    set_streams(unbuffered="-u" in request["arguments"] or bool(os.environ.get("PYTHONUNBUFFERED")))
    sys.dont_write_bytecode = "-B" in request["arguments"] or bool(os.environ.get("PYTHONDONTWRITEBYTECODE"))
    seed()
    multiprocessing.set_executable(WARM_PYTHON)


def place_descriptors(received: list[int], wanted: list[int]) -> None:
    """Give each received descriptor its old number, inheritable, and close all others."""
    above = max([*received, *wanted]) + 1
    held = [fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, above) for number in received]
    os.closerange(0, above)
    for number, target in zip(held, wanted, strict=True):
        os.dup2(number, target, inheritable=True)
    os.closerange(above, max(held, default=above) + 1)


def set_signals(ignored: set[int], blocked: list[int]) -> None:
    """As at the start of a Python: defaults, but for what the caller ignores and what Python itself handles."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        if number in (signal.SIGPIPE, signal.SIGXFSZ):
            continue  # Python ignores both from its start
        signal.signal(number, signal.SIG_IGN if number in ignored else signal.SIG_DFL)
    if signal.SIGINT not in ignored:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def set_streams(unbuffered: bool) -> None:
    """New `sys.stdin`, `sys.stdout` and `sys.stderr`, on what the stand-in's descriptors lead to."""
    sys.stdin = sys.__stdin__ = stream(0, sys.__stdin__, unbuffered=False)
    sys.stdout = sys.__stdout__ = stream(1, sys.__stdout__, unbuffered)
    sys.stderr = sys.__stderr__ = stream(2, sys.__stderr__, unbuffered)


def stream(number: int, old: io.TextIOWrapper, unbuffered: bool) -> io.TextIOWrapper | None:
    """A standard stream as Python opens it, named and encoded as the `old` one; None where the descriptor is closed."""
    try:
        raw = io.FileIO(number, old.mode, closefd=False)
    except OSError:
        return None
    raw.name = old.name
    buffer = io.BufferedReader(raw) if old.mode == "r" else raw if unbuffered else io.BufferedWriter(raw)
    lines = not unbuffered and (number == 2 or os.isatty(number))
    text = io.TextIOWrapper(buffer, old.encoding, old.errors, line_buffering=lines, write_through=unbuffered)
    text.mode = old.mode
    return text


def seed() -> None:
    """Random numbers of its own."""
    random.seed()
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()
    if "torch" in sys.modules:
        sys.modules["torch"].default_generator.seed()


def run_and_end(arguments: list[str]) -> NoReturn:
    """Run the program and end the process with its exit status, as Python would, but for one thing.

    The interpreter's own end takes every module apart: half a second, for which a twin copies most of the memory that
    it shares. Here threads are waited for, exit functions run and open files are flushed; then the process is gone.
    """
    status, interrupted = 0, False
    try:
        run(arguments)
    except SystemExit as end:
        status = exit_status(end.code)
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
        status, interrupted = 1, isinstance(error, KeyboardInterrupt)
    threading._shutdown()  # these two are what the interpreter calls
    atexit._run_exitfuncs()
    if not flush_files():
        status = 120
    if interrupted:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    os._exit(status)


def exit_status(code: object) -> int:
    """Exit status of `sys.exit(code)`; a text goes to standard error."""
    if code is None or isinstance(code, int):
        return (code or 0) & 0xFF
    print(code, file=sys.stderr, flush=True)
    return 1


def flush_files() -> bool:
    """Write out what the program's open files still hold. Returns whether its standard output could be written.

    The garbage collector knows the program's own objects: those of the warm interpreter are frozen.
    """
    for opened in gc.get_objects():
        if isinstance(opened, io.TextIOWrapper | io.BufferedWriter | io.BufferedRandom) and not opened.closed:
            try:
                opened.flush()
            except (OSError, ValueError) as error:
                print(f"Exception ignored in: {opened!r}: {error!r}", file=sys.__stderr__)
                if opened is sys.stdout:
                    return False
    return True


def run(arguments: list[str]) -> None:
    """Run `-c CODE ...`, `-m MODULE ...` or `FILE ...` as the main program, in a new `__main__`."""
    sys.orig_argv = [sys.executable, *arguments]
    setproctitle(" ".join(sys.orig_argv))  # what `ps` shows
    sys.excepthook = without_our_frames
    rest = list(arguments)
    while rest[0] in ("-u", "-B"):
        del rest[0]
    main = sys.modules["__main__"] = ModuleType("__main__")
    vars(main)["__builtins__"] = builtins
    if rest[0] == "-c":
        sys.argv = ["-c", *rest[2:]]
        sys.path.insert(0, "")
        exec(compile(rest[1], "<string>", "exec"), vars(main))
    elif rest[0] == "-m":
        sys.argv = ["-m", *rest[2:]]
        sys.path.insert(0, os.getcwd())
        runpy._run_module_as_main(rest[1])  # what the interpreter itself calls
    else:
        sys.argv = rest
        sys.path.insert(0, os.path.dirname(os.path.realpath(rest[0])))
        file = os.path.abspath(rest[0])
        vars(main).update(__file__=file, __cached__=None, __loader__=SourceFileLoader("__main__", file))
        with open(file, "rb") as source:
            code = compile(source.read(), file, "exec")
        exec(code, vars(main))


def without_our_frames(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """Print an error that ends the program as a cold Python does: from the program's own first line on."""
    here = os.path.dirname(os.path.abspath(__file__))
    while traceback is not None and os.path.dirname(traceback.tb_frame.f_code.co_filename) == here:
        traceback = traceback.tb_next
    sys.__excepthook__(kind, error.with_traceback(traceback), traceback)
