"""Reads, writes and copies that are complete or fail: one system call may do less than it was asked for.

A disk that fills up takes the first part of a write, and a signal cuts one short. Nothing else in this package writes
to a descriptor. A file that ends before what was written to it is an OSError like others: EIO.
"""

from __future__ import annotations

import ctypes
import errno
import os
import select

# What one copy may hold in memory, in bytes, where the kernel cannot copy by itself.
CHUNK = 1 << 20

# What the kernel answers where two files have no way to copy from one to the other.
_CANNOT_COPY = frozenset({errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF, errno.EPERM})

Data = bytes | bytearray | memoryview

_SYNC_FILE_RANGE_WRITE = 2
# FALLOC_FL_*: os.posix_fallocate knows none of them, and would make the file longer.
_KEEP_SIZE, _PUNCH_HOLE, _COLLAPSE_RANGE, _INSERT_RANGE = 1, 2, 8, 32
_LIBC = ctypes.CDLL(None, use_errno=True)
_fallocate = _LIBC.fallocate
_fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
_sync_file_range = _LIBC.sync_file_range
_sync_file_range.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)


def write_at(fd: int, data: Data, position: int) -> None:
    """Write all of `data` to the file `fd` at `position`, in bytes."""
    rest = memoryview(data)
    while rest:
        written = _some(os.pwrite(fd, rest, position))
        rest, position = rest[written:], position + written


def write_next(fd: int, data: Data) -> None:
    """Write all of `data` where the descriptor stands: to a pipe, or behind what was written before."""
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[_some(os.write(fd, rest)) :]
        except BlockingIOError:
            # A full pipe or terminal, which somebody who shares it has made non-blocking.
            full = select.poll()
            full.register(fd, select.POLLOUT)
            full.poll()


def read_at(fd: int, size: int, position: int) -> bytes:
    """Read exactly `size` bytes of the file `fd` from `position` on."""
    data = read_up_to(fd, size, position)
    if len(data) < size:
        raise _ended()
    return data


def read_up_to(fd: int, size: int, position: int) -> bytes:
    """Read `size` bytes from `position` on, or fewer only where the file ends."""
    data = os.pread(fd, size, position)
    if len(data) == size:
        return data
    parts = [data]
    while data:
        size, position = size - len(data), position + len(data)
        data = os.pread(fd, size, position)
        parts.append(data)
    return b"".join(parts)


def copy(source: int, start: int, target: int, position: int, length: int) -> None:
    """Copy `length` bytes from `start` in one file to `position` in another, in the kernel where it can."""
    while length:
        copied = _copied_in_kernel(source, start, target, position, length)
        if not copied:
            chunk = read_at(source, min(length, CHUNK), start)
            write_at(target, chunk, position)
            copied = len(chunk)
        start, position, length = start + copied, position + copied, length - copied


def send(source: int, start: int, pipe: int, length: int) -> None:
    """Copy `length` bytes from `start` in a file to a pipe, in the kernel."""
    while length:
        sent = os.sendfile(pipe, source, start, min(length, 1 << 30))
        if not sent:
            raise _ended()
        start, length = start + sent, length - sent


def allocate(fd: int, position: int, length: int) -> None:
    """Keep room for `length` bytes at `position` without making the file longer; raises OSError, as ENOSPC."""
    _change_range(fd, _KEEP_SIZE, position, length)


def punch(fd: int, position: int, length: int) -> None:
    """Make a hole of `length` bytes at `position`. Raises OSError, as EOPNOTSUPP."""
    _change_range(fd, _PUNCH_HOLE | _KEEP_SIZE, position, length)


def insert(fd: int, position: int, length: int) -> None:
    """Have what is from `position` on begin `length` bytes later, behind a hole; whole blocks of the file system.

    Raises OSError: EINVAL or EOPNOTSUPP where the file system cannot do so.
    """
    _change_range(fd, _INSERT_RANGE, position, length)


def collapse(fd: int, position: int, length: int) -> None:
    """Take `length` bytes at `position` out: what is behind them, and something must be, begins there; see `insert`."""
    _change_range(fd, _COLLAPSE_RANGE, position, length)


def start_writing(fd: int, position: int, length: int) -> None:
    """Have the system begin to write what is there to the drive; whether that works, the sync of the file says."""
    _sync_file_range(fd, position, length, _SYNC_FILE_RANGE_WRITE)


def _change_range(fd: int, mode: int, position: int, length: int) -> None:
    while length and _fallocate(fd, mode, position, length):
        # On EINTR, a hole is made once more; what moves content is not repeated: nobody knows how far it came.
        if (error := ctypes.get_errno()) != errno.EINTR or not mode & _KEEP_SIZE:
            raise OSError(error, os.strerror(error))


def _copied_in_kernel(source: int, start: int, target: int, position: int, length: int) -> int:
    """Copy some bytes and return how many: 0 where the two file systems have no way to do so."""
    try:
        return os.copy_file_range(source, target, length, start, position)
    except OSError as error:
        if error.errno in _CANNOT_COPY:
            return 0
        raise


def _some(written: int) -> int:
    # No system says this of a file or pipe; if one did, asking it again would take for ever.
    if not written:
        raise OSError(errno.EIO, "a write took nothing")
    return written


def _ended() -> OSError:
    return OSError(errno.EIO, "a file ends before what was written to it")
