"""What is at a place of this machine: directories in byte order, and of each thing only what a disk takes of it."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from builder.archive.entry import Kind
from builder.errors import BuilderError
from builder.exact import CHUNK, read_up_to
from builder.files.below import LISTED, PLACE, NotRegular, open_directory, open_regular, read_link
from builder.files.descent import Descent
from builder.files.files import reading
from builder.words import quoted

ZEROS = bytes(CHUNK)

_KINDS = {
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
    stat.S_IFIFO: "a fifo",
    stat.S_IFSOCK: "a socket",
}


class AdditionFailed(BuilderError):
    """Something cannot be added or removed as it was asked for; `what` is how it was asked for."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(f"{what}: {reason}")
        self.what = what
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Found:
    """A file, directory, symlink or hardlink; `path` is relative to where it was looked for, empty for that itself.

    `link` is a symlink's target, or the first path of a file that has several; `fd` is open while this is the last
    one that was handed out.
    """

    path: bytes
    kind: Kind
    executable: bool = False
    size: int = 0
    link: bytes = b""
    fd: int = -1


def find(source: str, name: str) -> Generator[Found, None, None]:
    """Yield what is at `source`, and all that is below it, each directory before what is in it, in byte order.

    A symlink is itself, unless `source` ends in a slash. `name` is what errors call the whole. Raises AdditionFailed
    for what no disk takes, and MissingRequirement for what this user may not read.
    """
    walk = _Walk(source, name)
    if source.endswith("/"):
        with walk.reading(b""):
            top = os.open(source, LISTED)
        yield from walk.directory(top)
        return
    directory, last = os.path.split(source)
    with walk.reading(b""):
        parent = os.open(directory or ".", PLACE)
    try:
        yield from walk.at(parent, os.fsencode(last), b"")
    finally:
        os.close(parent)


@contextmanager
def open_file(source: str, name: str) -> Iterator[Found]:
    """Open the regular file at `source`, through symlinks; raises what `find` raises."""
    walk = _Walk(source, name)
    with walk.reading(b""):
        mode = os.stat(source).st_mode
    if not stat.S_ISREG(mode):
        raise walk.no_file(mode)
    with walk.reading(b""):
        fd = os.open(source, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        yield Found(b"", Kind.FILE, size=os.fstat(fd).st_size, fd=fd)
    finally:
        os.close(fd)


def content(found: Found, name: str) -> Iterator[bytes]:
    """Yield the content of a file, and see that it has the size that it had, and is not written to meanwhile.

    Raises AdditionFailed.
    """
    before = os.fstat(found.fd)
    position = 0
    while position < found.size:
        end = min(position + CHUNK, found.size)
        with reading(name):
            start = min(_next_data(found.fd, position), end)
            # A hole is not read: the kernel would fill its cache with zeros.
            chunk = ZEROS[: start - position] if start > position else read_up_to(found.fd, end - position, position)
        if not chunk:
            raise changed(name, found.path)
        position += len(chunk)
        yield chunk
    with reading(name):
        more = read_up_to(found.fd, 1, position)
        after = os.fstat(found.fd)
    if more or (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise changed(name, found.path)


def changed(name: str, path: bytes) -> AdditionFailed:
    """Say that something is not what it was a moment ago."""
    what = f"{quoted(path)} in it" if path else "it"
    return AdditionFailed(name, f"{what} changed while it was read; build again when nobody writes to it")


def _is_of_proc(directory: int) -> bool:
    """Tell whether the symlinks in a directory are the kernel's own, whose targets are no paths (proc(5))."""
    try:
        return os.fstat(directory).st_dev == os.stat("/proc").st_dev != os.stat("/").st_dev
    except FileNotFoundError:
        return False


def _next_data(fd: int, position: int) -> int:
    """Give the next position that is not in a hole; past every end, where there is none."""
    try:
        return os.lseek(fd, position, os.SEEK_DATA)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        return sys.maxsize


class _Walk:
    """A walk through one place of the host."""

    def __init__(self, source: str, name: str) -> None:
        self._source = source
        self._name = name
        self._seen: dict[tuple[int, int], bytes] = {}

    def at(self, parent: int, name: bytes, path: bytes) -> Iterator[Found]:
        """Yield what has this name in a directory; `path` is its own."""
        with self.reading(path):
            mode = os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode
        if stat.S_ISDIR(mode):
            with self.reading(path):
                top = open_directory(name, parent, LISTED)
            yield from self.directory(top)
        else:
            yield from self._leaf(parent, name, path, mode)

    def directory(self, fd: int) -> Iterator[Found]:
        """Yield the directory that is open as `fd`, which is closed then, and all below it."""
        yield Found(b"", Kind.DIRECTORY)
        with Descent(fd) as descent:
            # The directories on the way down: what each puts in front of its names, and the names still to come.
            pending = [(b"", self._names(descent, b""))]
            while pending:
                prefix, names = pending[-1]
                name = next(names, None)
                if name is None:
                    pending.pop()
                    if pending:
                        with self.reading(prefix):
                            os.close(descent.leave())
                    continue
                path = prefix + name
                with self.reading(path):
                    mode = os.stat(name, dir_fd=descent.fd, follow_symlinks=False).st_mode
                if not stat.S_ISDIR(mode):
                    yield from self._leaf(descent.fd, name, path, mode)
                    continue
                with self.reading(path):
                    descent.enter(name)
                yield Found(path, Kind.DIRECTORY)
                pending.append((path + b"/", self._names(descent, path)))

    @contextmanager
    def reading(self, path: bytes) -> Iterator[None]:
        """Say of errors what was being read, and what to do."""
        try:
            yield
        except (FileNotFoundError, NotADirectoryError) as error:
            if path:
                raise changed(self._name, path) from error
            advice = " (a TARGET begins with /)" if ":" in self._source else ""
            reason = f"there is no {quoted(self._source)} on this machine; check the path{advice}"
            raise AdditionFailed(self._name, reason) from error
        except NotRegular as error:
            raise changed(self._name, path) from error
        except OSError as error:
            with reading(f"{self._name}: {quoted(path)} in it" if path else self._name):
                raise error

    def no_file(self, mode: int, path: bytes = b"") -> AdditionFailed:
        """Refuse what is of another kind."""
        what = f"{quoted(path)} in it" if path else quoted(self._source)
        kind = "a directory" if stat.S_ISDIR(mode) else _KINDS.get(stat.S_IFMT(mode), "no file")
        advice = "name a file" if not path else "take it out of there, or add a tar without it"
        return AdditionFailed(self._name, f"{what} is {kind}; {advice}")

    def _names(self, descent: Descent, path: bytes) -> Iterator[bytes]:
        with self.reading(path):
            return iter(sorted(map(os.fsencode, os.listdir(descent.fd))))

    def _leaf(self, parent: int, name: bytes, path: bytes, mode: int) -> Iterator[Found]:
        if stat.S_ISLNK(mode):
            with self.reading(path):
                target = read_link(name, parent)
            if target is None:
                raise changed(self._name, path)
            if _is_of_proc(parent):
                what = quoted(path or self._source)
                reason = (
                    f"{what} is an open file or pipe, as <(...) of a shell; write its content to a file and name that"
                )
                raise AdditionFailed(self._name, reason)
            yield Found(path, Kind.SYMLINK, link=target)
            return
        if not stat.S_ISREG(mode):
            raise self.no_file(mode, path)
        with self.reading(path):
            fd = open_regular(name, parent)
        try:
            status = os.fstat(fd)
            identity = status.st_dev, status.st_ino
            first = self._seen.get(identity) if status.st_nlink > 1 else None
            if first is not None:
                yield Found(path, Kind.HARDLINK, link=first)
                return
            if status.st_nlink > 1:
                self._seen[identity] = path
            yield Found(path, Kind.FILE, bool(status.st_mode & 0o111), status.st_size, fd=fd)
        finally:
            os.close(fd)
