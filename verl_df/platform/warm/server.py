# SPDX-License-Identifier: Apache-2.0
"""The warm interpreter: imports once, then forks a twin for each request: `server.py SOCKET READY_DESCRIPTOR`.

It has one thread and does nothing but fork, pass signals on and report ends. A twin whose stand-in is gone is killed,
and so are the processes of its group; if the warm interpreter itself goes, the kernel kills its twins.
"""

import contextlib
import gc
import json
import os
import selectors
import signal
import socket
import struct
import sys
import threading
import time
import traceback
from dataclasses import dataclass

from client import DESCRIPTORS_AT_ONCE, is_read_at_import
from preload import preload
from setproctitle import getproctitle, setproctitle
from twin import become, run_and_end

IDLE_SECONDS = 900.0
# A caller that connects and then says nothing would hold up all others.
REQUEST_SECONDS = 10.0


@dataclass
class Twin:
    """A forked process and the connection to its stand-in. `process` is a pidfd: it never means another process."""

    pid: int
    process: int
    connection: socket.socket


class Server:
    """Listens on a socket. `serve` returns in the twins, with what each is asked to do, and at the end with None."""

    def __init__(self, path: str):
        if os.path.exists(path):
            os.unlink(path)  # of one that was killed: the caller holds the lock and nobody answers
        self.path = path
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(path)
        self.listener.listen(128)
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.listener, selectors.EVENT_READ, None)
        self.twins = 0
        self.used = time.monotonic()

    def serve(self) -> tuple[dict, list[int]] | None:
        """Answer until nobody has asked for anything in `IDLE_SECONDS`.

        Returns:
            In a twin, its request and the descriptors that came with it; in the warm interpreter itself None.
        """
        while self.twins or time.monotonic() - self.used < IDLE_SECONDS:
            for key, _ in self.selector.select(timeout=IDLE_SECONDS):
                if key.fileobj is self.listener:
                    asked = self._accept()
                    if asked is not None:
                        return asked
                elif key.fd not in self.selector.get_map():
                    continue  # its twin ended in this round
                elif isinstance(key.fileobj, socket.socket):
                    self._hear(key.data)
                else:
                    self._reap(key.data)
        os.unlink(self.path)
        return None

    def _accept(self) -> tuple[dict, list[int]] | None:
        connection, _ = self.listener.accept()
        connection.settimeout(REQUEST_SECONDS)
        try:
            _, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
            if uid != os.getuid():
                raise PermissionError(f"user {uid} is not {os.getuid()}")
            request, descriptors = receive(connection)
        except (OSError, ValueError) as error:
            print(f"refused a request: {error!r}", flush=True)
            connection.close()
            return None
        connection.settimeout(None)
        pid = os.fork()
        if pid == 0:
            return request, descriptors
        for number in descriptors:
            os.close(number)
        with contextlib.suppress(OSError):  # the stand-in may have ended: then the twin will
            connection.sendall(b"+")
        twin = Twin(pid, os.pidfd_open(pid), connection)
        self.selector.register(twin.process, selectors.EVENT_READ, twin)
        self.selector.register(connection, selectors.EVENT_READ, twin)
        self.twins += 1
        return None

    def _hear(self, twin: Twin) -> None:
        """A signal for the twin; or its stand-in is gone, and then it has to go, too."""
        try:
            numbers = twin.connection.recv(16)
        except ConnectionResetError:
            numbers = b""
        for number in numbers:
            signal.pidfd_send_signal(twin.process, number)
        if not numbers:
            self.selector.unregister(twin.connection)
            end_group(twin)

    def _reap(self, twin: Twin) -> None:
        """Tell the stand-in how its twin ended. One that a signal ended leaves nothing behind."""
        ended = os.waitid(os.P_PIDFD, twin.process, os.WEXITED | os.WNOWAIT)
        if ended.si_code != os.CLD_EXITED:
            end_group(twin)  # before its number is free again
        _, status = os.waitpid(twin.pid, 0)
        self.selector.unregister(twin.process)
        if twin.connection in {key.fileobj for key in self.selector.get_map().values()}:
            self.selector.unregister(twin.connection)
        with contextlib.suppress(OSError):  # nobody may wait for it any more
            twin.connection.sendall(struct.pack("!i", status))
        twin.connection.close()
        os.close(twin.process)
        self.twins -= 1
        self.used = time.monotonic()


def end_group(twin: Twin) -> None:
    """Kill a twin and what it has started that stayed in its process group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(twin.pid, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(twin.process, signal.SIGKILL)


def receive(connection: socket.socket) -> tuple[dict, list[int]]:
    """A request and the descriptors that came with it, in the order of `request["descriptors"]`.

    Raises:
        ValueError: the connection ended early, or the request is not JSON.
        OSError: nothing came in time.
    """
    (length,) = struct.unpack("!I", read(connection, 4))
    request = json.loads(read(connection, length).decode("utf-8", "surrogateescape"))
    descriptors: list[int] = []
    while len(descriptors) < len(request["descriptors"]):
        data, received, _, _ = socket.recv_fds(connection, 1, DESCRIPTORS_AT_ONCE)
        if not data:
            raise ValueError("the descriptors did not come")
        descriptors += received
    return request, descriptors


def read(connection: socket.socket, count: int) -> bytes:
    """Exactly `count` bytes.

    Raises:
        ValueError: the connection ended before.
    """
    data = b""
    while len(data) < count:
        more = connection.recv(count - len(data))
        if not more:
            raise ValueError(f"{len(data)} of {count} bytes came")
        data += more
    return data


def check_forkable(before: set[str]) -> None:
    """Refuse to fork an interpreter that would pass on more than memory.

    Args:
        before: names of the descriptors that were open before the imports.

    Raises:
        RuntimeError: an import started a Python thread or holds a file open: neither would work in a twin.
    """
    threads = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    opened = {name: target for name, target in open_files().items() if name not in before}
    if threads or opened:
        raise RuntimeError(
            f"the imports left threads {threads} and open files {opened}: such a module cannot be preloaded"
        )


def open_files() -> dict[str, str]:
    """This process's descriptors and what they lead to."""
    files = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            files[name] = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:
            continue  # the listing's own
    return files


def warm_up() -> dict[str, tuple[str | None, str]]:
    """Import everything; ends this process if it then cannot be forked.

    Returns:
        The variables that the imports set, by name: value before (None: unset), value after.
    """
    files, environment = set(open_files()), dict(os.environ)
    print(f"serves { ({name: value for name, value in environment.items() if is_read_at_import(name)}) }", flush=True)
    try:
        preload()
        check_forkable(files)
    except BaseException:
        traceback.print_exc()
        os._exit(1)  # at once: a thread that an import started would be waited for
    gc.collect()
    gc.freeze()  # a collection would write to every object, and copy its page
    now = {name: (environment.get(name), value) for name, value in os.environ.items()}
    return {name: (old, new) for name, (old, new) in now.items() if old != new}


def main() -> None:
    """Import, listen, and in each twin run its program as if it had been started."""
    path, ready, started = sys.argv[1], int(sys.argv[2]), time.monotonic()
    setproctitle(getproctitle())  # it finds its room while the environment is as the kernel laid it; twins need it
    changed = warm_up()
    server = Server(path)
    print(f"warm after {time.monotonic() - started:.1f} s, {len(sys.modules)} modules", flush=True)
    os.write(ready, b"+")
    os.close(ready)
    parent = os.getpid()
    asked = server.serve()
    if asked is not None:
        become(*asked, changed, parent)
        run_and_end(asked[0]["arguments"])


if __name__ == "__main__":
    del sys.path[0]  # this folder: a program's imports must not find it
    main()
