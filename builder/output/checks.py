"""What may be written, asked before any work is done."""

from __future__ import annotations

import fcntl
import os
import stat
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from builder.disk import recognised
from builder.disk.filesystem import HEAD
from builder.errors import OutputDenied, OutputError, UsageError
from builder.files.descriptors import opened
from builder.output.stores import check_outside_stores
from builder.words import quoted

# linux/fs.h: what lsattr shows, and its `a`.
_FS_IOC_GETFLAGS = 0x80086601
_FS_APPEND_FL = 0x20

# By their descriptors; the command has opened those that were closed.
_STREAMS = ("standard input", "standard output", "standard error")


def resolve_output(path: Path | str) -> Path:
    """Follow symlinks to the place that will really be written, which need not exist. Raises OutputError."""
    try:
        return Path(os.path.realpath(path))
    except FileNotFoundError as error:
        raise OutputError(str(path), "the current directory is gone; change to one that exists") from error


def named_output(output: Path | str, like: str = "NAME.ext4 or NAME.erofs") -> Path:
    """Make a path of an output, to be called something `like` that. Raises UsageError for one without a name."""
    path = Path(output)
    if not path.name:
        raise UsageError(f"output {quoted(str(output))} names no file; call it {like}")
    return path


def check_distinct(outputs: Iterable[Path]) -> None:
    """Refuse outputs of which one would overwrite another. Raises UsageError."""
    known: set[Path] = set()
    for path in outputs:
        place = resolve_output(path)
        if place in known:
            raise UsageError(f"{path}: two outputs would be written to this file; give each a name of its own")
        known.add(place)


def check_apart(outputs: Iterable[Path], inputs: Iterable[str]) -> None:
    """Refuse an output in the place of a file that is read for the disk: it would be gone. Raises UsageError."""
    # Only an output that exists can be an input, and most often none does. Other checks name what cannot be looked at.
    places = {os.path.realpath(path): path for path in outputs if os.path.exists(path)}
    for each in inputs if places else ():
        if path := places.get(os.path.realpath(each)):
            raise UsageError(
                f"{path}: the disk is made from this file, which would be written over; name another output"
            )


def check_output(path: Path, force: bool) -> None:
    """Refuse, before any work is done, an output that could not or should not be written.

    An older disk is replaced, as a compiler replaces an older object; any other file only with `force`, for it is
    more likely a mistake. Raises OutputError, or OutputDenied; UsageError for a place among a store's files.
    """
    _check_kind(path)
    _check_parent(path)
    try:
        status = path.stat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise OutputError(str(path), error.strerror or str(error)) from error
    if not force and status.st_size > 0 and not _is_disk(path):
        raise OutputError(str(path), "exists and is not a disk image; remove it or add --force")


def check_side_output(path: Path) -> None:
    """Refuse a place for a metadata or dependency file that could not or should not be written.

    Only a regular file is replaced: a rename onto /dev/null would take the device from the whole machine.
    Raises OutputError, or OutputDenied; UsageError for a place among a store's files.
    """
    _check_kind(path)
    _check_parent(path)


def check_directory(path: Path) -> None:
    """Refuse a directory to unpack into that is not new or empty, or cannot be replaced by a new one.

    Raises OutputError, or OutputDenied; UsageError for a place among a store's files.
    """
    _check_parent(path)
    if path.is_dir() and not any(path.iterdir()):
        if os.path.ismount(resolve_output(path)):
            raise OutputError(str(path), "is a mount point, which cannot be replaced; name a directory in it")
        if path.samefile("."):
            raise OutputError(str(path), "is the current directory, which cannot be replaced; name it from outside")
        return
    if os.path.lexists(path):
        raise OutputError(str(path), "exists and is not an empty directory; choose another, or remove it")


def _check_kind(path: Path) -> None:
    # What cannot be looked at is for the check of its directory to explain.
    with suppress(OSError):
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise OutputError(str(path), "exists and is not a regular file; name a file")
        # As /dev/stdout is, where that goes to a log: a new file in its place would lose what is in it, and what comes.
        for fd, stream in enumerate(_STREAMS):
            if os.path.samestat(status, os.fstat(fd)):
                raise OutputError(str(path), f"is the file of {stream}, which would be lost; name another")


def _check_parent(path: Path) -> None:
    place = resolve_output(path)
    check_outside_stores(path, place)
    parent = place.parent
    if not parent.is_dir():
        if parent.exists():
            raise OutputError(str(path), f"{parent} is not a directory; choose another place")
        raise OutputError(str(path), f"the directory {parent} does not exist; make it first")
    if os.statvfs(parent).f_flag & os.ST_RDONLY:
        raise OutputError(str(path), f"the file system of {parent} is read-only; choose another place")
    if _is_append_only(parent):
        reason = (
            f"{parent} is append-only: nothing in it can be replaced or removed; choose another place, or chattr -a"
        )
        raise OutputDenied(str(path), reason)
    if not os.access(parent, os.W_OK | os.X_OK):
        raise OutputDenied(str(path), f"this user may not write in {parent}; choose another place")


def _is_disk(path: Path) -> bool:
    with path.open("rb") as file:
        return recognised(file.read(HEAD)) is not None


def _is_append_only(directory: Path) -> bool:
    # Not every file system has such flags, and not every directory may be read.
    with suppress(OSError), opened(directory, os.O_RDONLY | os.O_DIRECTORY) as fd:
        flags = fcntl.ioctl(fd, _FS_IOC_GETFLAGS, bytes(8))
        return bool(int.from_bytes(flags[:4], sys.byteorder) & _FS_APPEND_FL)
    return False
