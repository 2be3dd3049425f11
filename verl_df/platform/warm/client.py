# SPDX-License-Identifier: Apache-2.0
"""The process that a caller of `python` gets: asks the warm interpreter for a twin, and stands in for it.

The twin does the work, with this process's arguments, environment, working directory and open files. This process
passes signals on to it, and ends as it ends. Where no twin is to be had, this process becomes a cold Python.

Standard library only, started with `-I -S`: it has to be there in 20 ms.
"""

import hashlib
import json
import os
import resource
import select
import signal
import socket
import stat
import struct
import sys
from typing import NoReturn

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCES = ("client.py", "server.py", "preload.py", "twin.py")
# What has had its effect once the imports are done: another value is another warm interpreter. Ray, verl and most of
# vLLM read theirs when they are used; the loader's (LD_*) are those of the first caller.
READ_AT_IMPORT = ("HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE")
READ_AT_IMPORT += ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
READ_AT_IMPORT += ("VERL_PLATFORM", "VLLM_LOGGING_LEVEL", "VLLM_TARGET_DEVICE", "TRANSFORMERS_VERBOSITY")
READ_AT_IMPORT += ("TORCHDYNAMO_DISABLE",)
PYTHONS_READ_LATER = ("PYTHONBREAKPOINT", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE")
# Descriptors that Linux passes in one message: 253 at most.
DESCRIPTORS_AT_ONCE = 250
# Stopping and going on are the caller's to say; the rest of the list would be this process's own affair.
PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
PASSED_ON += (signal.SIGALRM, signal.SIGWINCH, signal.SIGCONT, signal.SIGTSTP)
LIMITS = tuple(sorted(name for name in dir(resource) if name.startswith("RLIMIT_")))
GPU_FILES = ("/dev/nvidiactl", "/dev/kfd")


class Cold(Exception):
    """Why this process starts cold."""


def folder() -> str:
    """The user's own folder for sockets and logs; made if it is missing.

    Raises:
        Cold: it belongs to somebody else, or others may write to it.
    """
    base = os.environ.get("XDG_RUNTIME_DIR") or "/tmp"
    path = os.environ.get("VERL_DF_WARM_DIR") or f"{base}/verl_df-warm-{os.getuid()}"
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
        found = os.lstat(path)
    except OSError as error:
        raise Cold(str(error)) from None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise Cold(
            f"{path} is not a folder of user {os.getuid()} alone: remove it, or name another in VERL_DF_WARM_DIR"
        )
    return path


def environment_key(python: str, environment: dict[str, str]) -> str:
    """Name of the warm interpreter that serves this environment: what its imports depend on, hashed.

    Raises:
        Cold: the packages of `python` are not to be found.
    """
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    packages = os.path.join(os.path.dirname(os.path.dirname(python)), "lib", version, "site-packages")
    try:
        installed = sorted(name for name in os.listdir(packages) if name.endswith(".dist-info"))
    except OSError:
        raise Cold(f"{python} has no {packages}") from None
    read_once = {name: value for name, value in environment.items() if is_read_at_import(name)}
    sources = [os.stat(os.path.join(HERE, name)).st_mtime_ns for name in SOURCES]
    parts = [sys.version, python, installed, sorted(read_once.items()), sources]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def is_read_at_import(name: str) -> bool:
    """Whether a variable has had its effect before a program starts: Python's own, all of one word, and a few."""
    pythons = name.startswith("PYTHON") and name[6:].isalpha() and name not in PYTHONS_READ_LATER
    return pythons or name in READ_AT_IMPORT


def check_command(arguments: list[str]) -> None:
    """Refuse what a fork of a running interpreter cannot do.

    Raises:
        Cold: interactive, a program on standard input, a folder or an archive, an option other than -u and -B, or no
            working directory.
    """
    rest = [argument for argument in arguments if argument not in ("-u", "-B")]
    if not rest or rest[0] == "-":
        raise Cold("no program is named")
    if rest[0].startswith("-") and (rest[0] not in ("-c", "-m") or len(rest) == 1):
        raise Cold(f"option {rest[0]}")
    if not rest[0].startswith("-") and not os.path.isfile(rest[0]):
        raise Cold(f"{rest[0]} is no file")
    try:
        os.getcwd()
    except OSError as error:
        raise Cold(f"working directory: {error}") from None


def wants_nothing(arguments: list[str]) -> bool:
    """Whether the program is one that imports nothing: multiprocessing's resource tracker, one for each process."""
    return any(argument.startswith("from multiprocessing.resource_tracker import main") for argument in arguments)


def connect(python: str) -> socket.socket:
    """A connection to the warm interpreter of this environment; starts it if it does not run.

    Raises:
        Cold: it cannot be reached or started, or another user answers.
    """
    path = os.path.join(folder(), environment_key(python, dict(os.environ)))
    try:
        connection = try_connect(path)
        if connection is None:
            connection = start(python, path)
    except OSError as error:
        raise Cold(f"{path}: {error}") from None
    _, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    if uid != os.getuid():
        raise Cold(f"{path} is answered by user {uid}")
    return connection


def try_connect(path: str) -> socket.socket | None:
    """A connection to the socket, or None where nobody listens."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(f"{path}.socket")
    except (FileNotFoundError, ConnectionRefusedError):
        connection.close()
        return None
    return connection


def start(python: str, path: str) -> socket.socket:
    """Start the warm interpreter, one even where several callers want it at once, and connect to it.

    Raises:
        Cold: it ended before it was ready.
    """
    import fcntl
    import subprocess

    with open(f"{path}.lock", "w") as lock, open(f"{path}.log", "w") as log:
        fcntl.flock(lock, fcntl.LOCK_EX)
        connection = try_connect(path)  # somebody else may have started it meanwhile
        if connection is not None:
            return connection
        reader, writer = os.pipe()
        # Out of the way of whoever ends this run's processes, by group, by session or by a mark in the environment.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("VERL_DF_RUN")}
        command = [python, os.path.join(HERE, "server.py"), f"{path}.socket", str(writer)]
        process = subprocess.Popen(
            command,
            cwd="/",
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[writer],
            start_new_session=True,
        )
        os.close(writer)
        ready = os.read(reader, 1)
        os.close(reader)
        connection = try_connect(path) if ready else None
    if connection is None:
        raise Cold(f"the warm interpreter did not start (exit status {process.wait()}): see {path}.log")
    return connection


def open_descriptors(but: int) -> list[int]:
    """Numbers of this process's open files, `but` one."""
    numbers = [int(name) for name in os.listdir("/proc/self/fd")]
    opened = []
    for number in numbers:
        try:
            os.fstat(number)
        except OSError:
            continue  # the listing's own
        if number != but:
            opened.append(number)
    return opened


def request(arguments: list[str], descriptors: list[int]) -> dict:
    """All that a twin takes over from this process, as JSON."""
    ignored = [number for number in signal.valid_signals() if signal.getsignal(number) == signal.SIG_IGN]
    mask = os.umask(0)
    os.umask(mask)
    return {
        "arguments": arguments,
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "descriptors": descriptors,
        "umask": mask,
        "nice": os.getpriority(os.PRIO_PROCESS, 0),
        "processors": sorted(os.sched_getaffinity(0)),
        "limits": {name: resource.getrlimit(getattr(resource, name)) for name in LIMITS},
        "ignored": [int(number) for number in ignored if number not in (signal.SIGPIPE, signal.SIGXFSZ)],
        "blocked": [int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, [])],
    }


def send(connection: socket.socket, message: dict, descriptors: list[int]) -> None:
    """The request, its length before it, then the descriptors; waits until there is a twin.

    Raises:
        Cold: the warm interpreter ended meanwhile, or refused; nothing runs.
    """
    body = json.dumps(message).encode("utf-8", "surrogateescape")
    try:
        connection.sendall(struct.pack("!I", len(body)) + body)
        for first in range(0, len(descriptors), DESCRIPTORS_AT_ONCE):
            socket.send_fds(connection, [b"+"], descriptors[first : first + DESCRIPTORS_AT_ONCE])
        forked = connection.recv(1)
    except OSError as error:
        raise Cold(f"the warm interpreter is gone: {error}") from None
    if not forked:
        raise Cold("the warm interpreter is gone, or refused: its log says why")


def stand_in(connection: socket.socket, descriptors: list[int]) -> NoReturn:
    """Pass signals on until the twin has ended, then end like it."""

    def pass_on(number: int, _: object) -> None:
        connection.sendall(bytes([number]))
        if number == signal.SIGTSTP:
            os.kill(os.getpid(), signal.SIGSTOP)

    # Python runs a handler between two of its instructions: for a signal that comes just before a system call, at the
    # end of that call. The pipe brings it about.
    woken, wakes = os.pipe()
    os.set_blocking(wakes, False)
    signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
    for number in PASSED_ON:
        # What this process was started to ignore, as under nohup, the twin ignores too, unless it sets a handler.
        if number != signal.SIGTSTP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, pass_on)
    # A pipe is at its end when nobody holds it any more: only the twin may.
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in descriptors:
        if number > 2:
            os.close(number)
        else:
            os.dup2(nothing, number)
    while connection not in select.select([connection, woken], [], [])[0]:
        os.read(woken, 64)
    answer = connection.recv(4)
    if len(answer) < 4:  # the warm interpreter is gone, and its twins with it
        os.kill(os.getpid(), signal.SIGKILL)
    status = struct.unpack("!i", answer)[0]
    if os.WIFSIGNALED(status):
        end_by_signal(os.WTERMSIG(status))
    os._exit(os.WEXITSTATUS(status))


def end_by_signal(number: int) -> NoReturn:
    """End as one whom this signal ended; the twin has written its core file already."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if number != signal.SIGKILL:
        signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
    os.kill(os.getpid(), number)
    os._exit(128 + number)


def main() -> NoReturn:
    """Run `sys.argv[1:]` warm, or cold with a line that says why."""
    python, arguments = os.environ["VERL_DF_PYTHON"], sys.argv[1:]
    if wants_nothing(arguments):
        os.execv(python, [python, *arguments])
    try:
        check_command(arguments)
        if any(map(os.path.exists, GPU_FILES)):
            raise Cold("this machine has a GPU, and what has touched one cannot be forked")
        connection = connect(python)
        descriptors = open_descriptors(but=connection.fileno())
        send(connection, request(arguments, descriptors), descriptors)
    except Cold as reason:
        print(f"verl_df: starting Python cold: {reason}", file=sys.stderr, flush=True)
        os.execv(python, [python, *arguments])
    stand_in(connection, descriptors)


if __name__ == "__main__":
    main()
