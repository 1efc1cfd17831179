"""Removing what write_directory wrote, or any other tree: any depth, any mode, never through a symlink."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from builder.errors import OutputError
from builder.files.below import LISTED, PLACE, open_directory
from builder.files.descent import Descent
from builder.words import quoted


def remove_tree(path: Path) -> None:
    """Remove the file, symlink or directory `path` with everything below it; nothing there is fine, too.

    Directories of the caller's that it may not read are made readable first. Raises OutputError for what cannot
    be removed, and for a file system mounted below, which is not touched.
    """
    if not os.path.lexists(path):
        return
    try:
        parent = os.open(path.absolute().parent, PLACE)
        try:
            _remove(parent, os.fsencode(path.name))
        finally:
            os.close(parent)
    except OSError as error:
        name = quoted(os.fsencode(error.filename or ""))
        raise OutputError(str(path), f"cannot remove {name}: {error.strerror or error}") from error


def _remove(parent: int, name: bytes) -> None:
    if not _is_directory(parent, name):
        os.unlink(name, dir_fd=parent)
        return
    device = os.stat(name, dir_fd=parent, follow_symlinks=False).st_dev
    _make_accessible(parent, name, device)
    with Descent(open_directory(name, parent, LISTED)) as place:
        _empty(place, _names(place), device)
    os.rmdir(name, dir_fd=parent)


def empty_directory(fd: int, last: bytes = b"") -> None:
    """Remove everything in the open directory `fd`, and `last`, if it is there, after everything else.

    Raises OSError for what cannot be removed, and for a file system mounted below, which is not touched.
    """
    # As it is now: btrfs shows through a descriptor what was there when that was opened, or rewound.
    os.lseek(fd, 0, os.SEEK_SET)
    with Descent(os.dup(fd)) as place:
        names = sorted(_names(place), key=lambda name: name != last)
        _empty(place, names, os.fstat(fd).st_dev)


def _empty(place: Descent, names: list[bytes], device: int) -> None:
    """Remove everything in a directory that holds `names`, the last of them first."""
    stack = [(b"", names)]
    while stack:
        name, left = stack[-1]
        if left:
            child = left.pop()
            if not _is_directory(place.fd, child):
                os.unlink(child, dir_fd=place.fd)
                continue
            _make_accessible(place.fd, child, device)
            place.enter(child)
            stack.append((child, _names(place)))
            continue
        stack.pop()
        if stack:
            os.close(place.leave())
            os.rmdir(name, dir_fd=place.fd)


def _names(place: Descent) -> list[bytes]:
    return [os.fsencode(name) for name in os.listdir(place.fd)]


def _is_directory(parent: int, name: bytes) -> bool:
    return stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)


def _make_accessible(parent: int, name: bytes, device: int) -> None:
    """Give the caller the rights to empty a directory; it must be on the same file system as the rest."""
    fd = open_directory(name, parent)
    try:
        status = os.fstat(fd)
        if status.st_dev != device:
            raise OSError(None, "another file system is mounted there", name)
        path = f"/proc/self/fd/{fd}"
        # Root may already, and who is confined cannot give anybody rights.
        if status.st_mode & stat.S_IRWXU != stat.S_IRWXU and not os.access(path, os.R_OK | os.W_OK | os.X_OK):
            os.chmod(path, stat.S_IRWXU)
    finally:
        os.close(fd)
