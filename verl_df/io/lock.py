# SPDX-License-Identifier: Apache-2.0
"""One writer at a time for a file or a folder, also among processes; the kernel lets go of a lock whose owner died."""

import fcntl
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import EAGAIN, ENOLCK, ENOSYS, EOPNOTSUPP
from pathlib import Path
from typing import IO

_NO_LOCKS = (ENOLCK, ENOSYS, EOPNOTSUPP)


class InUse(ValueError):
    """Another process writes there."""


@contextmanager
def only_writer(folder: Path, name: str = "") -> Iterator[None]:
    """Be the only process that writes results into a folder, or those called `name` in it.

    The folder is made if needed, and removed again where nothing was written.

    Raises:
        InUse: another one does; the message says which.
    """
    made = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f".{name}.lock" if name else folder / ".lock"
    lock = take(path, str(folder / name) if name else str(folder))
    try:
        os.write(lock, f"{os.getpid()}".encode())
        yield
    finally:
        path.unlink(missing_ok=True)
        release(lock)
        with suppress(OSError):  # something is in it
            for one in made:
                one.rmdir()


def take(path: Path, what: str) -> int:
    """Lock a file, which is made if needed, until `release` of the descriptor that this returns.

    Args:
        path: the file.
        what: name of the result in the message.

    Raises:
        InUse: another descriptor has the lock.
    """
    while True:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            if not _locked(lock, what):
                raise InUse(_message(what, os.pread(lock, 20, 0)))
            # the owner before may have removed or renamed the file between our open and our lock
            if path.exists() and os.path.samestat(os.fstat(lock), path.stat()):
                return lock
        except BaseException:
            os.close(lock)
            raise
        os.close(lock)


def hold(file: IO, what: str) -> None:
    """Lock an open file until it is closed; it is closed if that cannot be. Raises: InUse, as `take`."""
    if not _locked(file.fileno(), what):
        file.close()
        raise InUse(_message(what))


def release(lock: int) -> None:
    """Let go of a lock that `take` returned; children that were forked meanwhile do not hold it on."""
    fcntl.flock(lock, fcntl.LOCK_UN)
    os.close(lock)


def _locked(lock: int, what: str) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno == EAGAIN:
            return False
        if error.errno not in _NO_LOCKS:
            raise
        warnings.warn(f"{what}: this file system has no locks; see that one process writes there", stacklevel=3)
    return True


def _message(what: str, owner: bytes = b"") -> str:
    process = f"process {owner.decode()}" if owner.isdigit() else "another process"
    return f"{what}: {process} writes there; wait for it to end, or write elsewhere"
