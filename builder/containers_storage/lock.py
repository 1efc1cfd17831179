"""The store's own locks (containers/storage, pkg/lockfile): fcntl(2) locks on whole files, shared to read.

As an open file description lock, which conflicts with the others' locks as any fcntl lock does, ours is not lost when
something else in this process closes the same file.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from builder.containers_storage.handles import Handle, reading
from builder.events import Listener, Notice

# struct flock of Linux on every 64-bit machine: l_type, l_whence, l_start, l_len (0: all of the file), l_pid.
_SHARED = struct.pack("hhqqi4x", fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0)
# File systems that have no locks; then nobody else can hold one either.
_NO_LOCKS = frozenset((errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL))


def lock_to_read(directory: Handle, name: str, listen: Listener) -> int | None:
    """Lock the file `name` for reading, waiting for its writer; closing the descriptor that is returned unlocks it.

    Returns None where there is no lock to take: no such file in a store that nobody writes to, no locks in its file
    system. Nothing is created: the store is only read. Whoever must wait is told through `listen`.
    """
    fd = directory.file(name)
    if fd is None:
        return None
    try:
        with reading(directory.path(name)):
            if _try(fd, fcntl.F_OFD_SETLK):
                return fd
            listen(Notice(f"waiting for another program to finish with {directory.where}"))
            if _try(fd, fcntl.F_OFD_SETLKW):
                return fd
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)
    return None


@contextmanager
def locked(directory: Handle, name: str, listen: Listener) -> Iterator[None]:
    """Hold the lock on the file `name` for reading."""
    fd = lock_to_read(directory, name, listen)
    try:
        yield
    finally:
        if fd is not None:
            os.close(fd)


def _try(fd: int, command: int) -> bool:
    """Lock, or say that somebody else has; where there are no locks, it is as good as locked."""
    try:
        fcntl.fcntl(fd, command, _SHARED)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            return False
        if error.errno not in _NO_LOCKS:
            raise
    return True
