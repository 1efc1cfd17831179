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


@contextmanager
def locked(directory: Handle, name: str, listen: Listener) -> Iterator[None]:
    """Hold the lock on the file `name` for reading, after its writer; whoever must wait is told through `listen`.

    Without such a file there is nothing to lock, as in a store that nobody writes to: the store is only read, so none
    is made.
    """
    fd = directory.file(name)
    if fd is None:
        yield
        return
    try:
        with reading(directory.path(name)):
            if not _try(fd, fcntl.F_OFD_SETLK):
                listen(Notice(f"waiting for another program to finish with {directory.where}"))
                _try(fd, fcntl.F_OFD_SETLKW)
        yield
    finally:
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
