"""What killed builds leave: work directories that say so in a mark of their own, and that no living process has locked.

A name says nothing: anybody may choose one, and rename what is not theirs. So what is removed is opened first, and is
litter only if it holds a mark, made by this user, of the very name that it has.

Locks of directories say nothing of other machines (NFS), so what another machine marked is litter only after a day.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
import time
from collections.abc import Callable

from builder.files.below import LISTED, open_directory
from builder.files.removal import empty_directory

_NAME = re.compile(r"\..*\.[0-9a-f]{16}\.rootfs-builder", re.DOTALL)
_MARK = "mark"
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_LONGEST_MARK = 1024
_BOOT = "/proc/sys/kernel/random/boot_id"
_DAY = 24 * 60 * 60


def work_directory_name(prefix: str, token: str) -> str:
    """Name a work directory; `token` is 16 hex digits."""
    return f"{prefix}{token}.rootfs-builder"


def open_own(parent: int, name: str) -> int | None:
    """Open the directory `name`, if nobody but this user may change it; None if it is anything else.

    Raises FileNotFoundError when there is nothing of that name.
    """
    try:
        fd = open_directory(name, parent, LISTED)
    except OSError as error:
        if error.errno in (errno.ENOTDIR, errno.ELOOP, errno.EACCES):
            return None
        raise
    if _is_own(os.fstat(fd)):
        return fd
    os.close(fd)
    return None


def has_name(fd: int, parent: int, name: str) -> bool:
    """Say whether the open directory still has its name in `parent`."""
    try:
        return os.path.samestat(os.fstat(fd), os.stat(name, dir_fd=parent, follow_symlinks=False))
    except FileNotFoundError:
        return False


def write_mark(fd: int, name: str) -> None:
    """Mark the open and empty directory `name` as a work directory of this process."""
    mark = os.open(_MARK, _NEW, 0o600, dir_fd=fd)
    with open(mark, "wb") as file:
        file.write(_first_line(name) + b"process %d\nmachine %s\n" % (os.getpid(), _machine()))


def process_of(fd: int, name: str) -> int | None:
    """Read in the mark of the open directory `name` whose it is; None if it has none, or not yet."""
    found = re.fullmatch(rb"process (\d{1,10})\n(?:machine .*\n)?", _read_mark(fd).removeprefix(_first_line(name)))
    return int(found[1]) if found else None


def is_litter(fd: int, name: str) -> bool:
    """Say whether the open directory `name`, which this process has locked, is one that a build has left."""
    # Killed before it could mark it, or in the middle of that. An empty directory is no loss, and whoever can give it
    # this name could have removed it.
    if _NAME.fullmatch(name) is None:
        return False
    first = _first_line(name)
    match os.listdir(fd):
        case []:
            return True
        case ["mark"]:
            mark = _read_mark(fd)
            return (mark.startswith(first) or first.startswith(mark)) and not _is_used_elsewhere(fd, mark)
    mark = _read_mark(fd)
    return mark.startswith(first) and not _is_used_elsewhere(fd, mark)


def clear(fd: int) -> None:
    """Remove everything in an open work directory, and the mark last, so that it stays recognisable until then."""
    empty_directory(fd, last=_MARK.encode())


def sweep(parent: int, failed: Callable[[str, OSError], None]) -> None:
    """Remove the litter in the open directory `parent`; `failed` hears of what cannot be removed."""
    for name in os.listdir(parent):
        if _NAME.fullmatch(name):
            try:
                _sweep_one(parent, name)
            except FileNotFoundError:
                continue  # another build has ended, and removed its own
            except OSError as error:
                failed(name, error)


def _sweep_one(parent: int, name: str) -> None:
    fd = open_own(parent, name)
    if fd is None:
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Between opening and locking another sweeper may have removed it.
        if has_name(fd, parent, name) and is_litter(fd, name):
            clear(fd)
            os.rmdir(name, dir_fd=parent)
    except BlockingIOError:
        pass  # somebody works in it
    finally:
        os.close(fd)


def _machine() -> bytes:
    """Tell this machine, since it was started, from all others; the containers on it share it, and its locks."""
    try:
        with open(_BOOT, "rb") as file:
            return file.read(64).strip()
    except OSError:
        return b"unknown"


def _is_used_elsewhere(fd: int, mark: bytes) -> bool:
    """Say whether another machine may still be at work in an open directory that nobody here has locked."""
    found = re.search(rb"\nmachine (.*)\n\Z", mark)
    if found is None or found[1] == _machine():
        return False
    try:
        made = os.stat(_MARK, dir_fd=fd, follow_symlinks=False).st_mtime
    except FileNotFoundError:
        return True
    return time.time() < made + _DAY


def _is_own(status: os.stat_result) -> bool:
    # What root does may not depend on others; an ordinary user's directory may be on a file system that has no modes.
    shared = os.geteuid() == 0 and status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return status.st_uid == os.geteuid() and not shared


def _first_line(name: str) -> bytes:
    return b"rootfs-builder works here, in " + os.fsencode(name) + b"; what it leaves is removed\n"


def _read_mark(fd: int) -> bytes:
    try:
        mark = os.open(_MARK, _READ, dir_fd=fd)
    except OSError:
        return b"?"  # the beginning of no mark
    try:
        status = os.fstat(mark)
        ours = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and status.st_nlink == 1
        return os.read(mark, _LONGEST_MARK) if ours else b"?"
    finally:
        os.close(mark)
