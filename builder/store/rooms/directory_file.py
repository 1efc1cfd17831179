"""Files of a store in a directory, and what their errors are called."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager

from builder.errors import StoreDenied, StoreError
from builder.exact import read_up_to, write_at


class LocalFile:
    """A locked file; takes over `fd`."""

    def __init__(self, path: str, where: str, fd: int) -> None:
        self.path = path
        self._where = where
        self._fd = fd
        self.size = os.fstat(fd).st_size

    def read(self, start: int, size: int) -> bytes:
        """Read `size` bytes from `start` on, or fewer only where the file ends."""
        with using(self._where):
            return read_up_to(self._fd, size, start)

    def append(self, data: bytes) -> None:
        """Write at the end: all of it, or raise and leave the file as it was."""
        with using(self._where):
            try:
                write_at(self._fd, data, self.size)
            except OSError:
                os.ftruncate(self._fd, self.size)
                raise
        self.size += len(data)

    def truncate(self, size: int) -> None:
        """Cut it to `size` bytes."""
        with using(self._where):
            os.ftruncate(self._fd, size)
        self.size = size

    def sync(self) -> None:
        """Wait until its content is on the disk."""
        with using(self._where):
            os.fsync(self._fd)

    def close(self) -> None:
        """Unlock and close it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class LocalReader(io.RawIOBase):
    """A file that is read from its start on; takes over `fd`."""

    def __init__(self, where: str, fd: int) -> None:
        super().__init__()
        self._where = where
        self._fd = fd

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def seekable(self) -> bool:
        """Say that it can be read from anywhere."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a position, in bytes."""
        return os.lseek(self._fd, offset, whence)

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Read what comes next, as io.RawIOBase promises; raises StoreError."""
        with using(self._where):
            return os.readv(self._fd, [buffer])

    def close(self) -> None:
        """Close the file."""
        if not self.closed:
            os.close(self._fd)
        super().close()


_FULL = "`rootfs-builder store gc` frees what no image needs, or choose another --store"
_REASONS = {
    errno.ENOSPC: f"no space is left; {_FULL}",
    errno.EDQUOT: f"the quota is used up; {_FULL}",
    errno.ENOTDIR: "a file is where the store needs a directory; remove it, or choose another --store",
    errno.EEXIST: "a file is where the store needs a directory; remove it, or choose another --store",
    errno.ELOOP: "a symlink is where the store keeps a file; the store did not make it, so remove it",
    errno.EXDEV: "parts of the store are on different drives, and files are renamed between them; have all on one",
    errno.ENOLCK: "this file system has no locks (flock), which a store needs; choose another --store",
    errno.ENOTSUP: "this file system has no locks (flock), which a store needs; choose another --store",
}


@contextmanager
def using(where: str) -> Iterator[None]:
    """Turn an operating system's error into ours; `where` names what was being used."""
    try:
        yield
    except OSError as error:
        # The innermost place, which is the one to blame, where Python knows it.
        place = error.filename if isinstance(error.filename, str) else where
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            reason = "the file system is read-only" if error.errno == errno.EROFS else "this user may not use the store"
            raise StoreDenied(place, f"{reason}; choose another with --store") from error
        reason = _REASONS.get(error.errno or 0, f"the store cannot be used: {error.strerror or error}")
        raise StoreError(place, reason) from error
