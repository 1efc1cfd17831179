"""Put finished files under their names: complete and synced, or not at all."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from builder.disk import FILESYSTEMS
from builder.disk.filesystem import HEAD
from builder.errors import OutputDenied, OutputError, UsageError
from builder.events import Listener, ignore
from builder.files.descriptors import opened
from builder.files.workspace import Workspace, workspace

_READ = os.O_RDONLY | os.O_NOFOLLOW


class OutputUnsettled(OutputError):
    """An output is whole and under its name, but the system has not confirmed that its name is on the disk."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, f"is complete, but its directory was not synced: {reason}; a power failure may undo it")


def resolve_output(path: Path | str) -> Path:
    """Follow symlinks to the place that will really be written, which need not exist. Raises OutputError."""
    try:
        return Path(os.path.realpath(path))
    except FileNotFoundError as error:
        raise OutputError(str(path), "the current directory is gone; change to one that exists") from error


def check_distinct(outputs: Iterable[Path]) -> None:
    """Refuse outputs of which one would overwrite another. Raises UsageError."""
    known: set[Path] = set()
    for path in outputs:
        place = resolve_output(path)
        if place in known:
            raise UsageError(f"{path}: two outputs would be written to this file; give each a name of its own")
        known.add(place)


def check_output(path: Path, force: bool) -> None:
    """Refuse, before any work is done, an output that could not or should not be written.

    An older disk is replaced, as a compiler replaces an older object; any other file only with `force`, for it is
    more likely a mistake. Raises OutputError, or OutputDenied.
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
    Raises OutputError, or OutputDenied.
    """
    _check_kind(path)
    _check_parent(path)


def check_directory(path: Path) -> None:
    """Refuse a directory to unpack into that is not new or empty, or cannot be replaced by a new one.

    Raises OutputError, or OutputDenied.
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


@dataclass(frozen=True, slots=True)
class Draft:
    """A file, or a directory, in a workspace, that is to be `output`, beside that workspace."""

    work: Workspace
    name: str
    output: Path

    @property
    def path(self) -> Path:
        """A path to it that nobody can change."""
        return self.work.path / self.name


def publish(draft: Draft) -> None:
    """Sync a file, give it the mode that a new one has, and rename it to what it is to be.

    Raises OSError while the output is what it was before, and OutputUnsettled once it is the new one.
    """
    with opened(draft.path, _READ) as fd:
        os.fchmod(fd, _new_file_mode(draft.work.path))
        os.fsync(fd)
    _rename(draft)
    try:
        os.fsync(draft.work.parent)
    except OSError as error:
        raise OutputUnsettled(str(draft.output), error.strerror or str(error)) from error


def publish_directory(draft: Draft) -> None:
    """Rename a directory to what it is to be: a new one, or in place of an empty one. Raises OSError."""
    _rename(draft)


def write_atomically(path: Path, data: bytes, listen: Listener = ignore) -> None:
    """Replace a small file in one step."""
    with staged(path, data, listen) as draft:
        publish(draft)


@contextmanager
def staged(path: Path, data: bytes, listen: Listener = ignore, mtime_ns: int | None = None) -> Iterator[Draft]:
    """Write and sync a small file in a workspace of its own, to be published as `path`, with that time if given."""
    output = resolve_output(path)
    with workspace(output.parent, output.name, listen) as work:
        draft = Draft(work, "file", output)
        with draft.path.open("xb") as file:
            file.write(data)
        if mtime_ns is not None:
            os.utime(draft.path, ns=(mtime_ns, mtime_ns))
        sync(draft)
        yield draft


@contextmanager
def staged_unless_there(
    path: Path | None, data: bytes, listen: Listener = ignore, mtime_ns: int | None = None
) -> Iterator[list[Draft]]:
    """Stage a file, if there is a path and not just this file already; yields what is to be published."""
    if path is None or _is_there(path, data, mtime_ns):
        yield []
        return
    with staged(path, data, listen, mtime_ns) as draft:
        yield [draft]


def sync(draft: Draft) -> None:
    """Wait until a file is on the disk it lives on."""
    with opened(draft.path, _READ) as fd:
        os.fsync(fd)


def _is_there(path: Path, data: bytes, mtime_ns: int | None) -> bool:
    with suppress(OSError), path.open("rb") as file:
        status = os.fstat(file.fileno())
        same = status.st_size == len(data) and mtime_ns in (None, status.st_mtime_ns)
        return same and file.read(len(data) + 1) == data
    return False


def _rename(draft: Draft) -> None:
    try:
        os.replace(draft.name, draft.output.name, src_dir_fd=draft.work.fd, dst_dir_fd=draft.work.parent)
    except OSError as error:
        error.filename = os.fspath(draft.output)
        raise


def _check_kind(path: Path) -> None:
    # What cannot be looked at is for the check of its directory to explain.
    with suppress(OSError):
        if not stat.S_ISREG(path.stat().st_mode):
            raise OutputError(str(path), "exists and is not a regular file; name a file")


def _check_parent(path: Path) -> None:
    parent = resolve_output(path).parent
    if not parent.is_dir():
        what = "is not a directory" if parent.exists() else "does not exist; make it first"
        raise OutputError(str(path), f"the directory {parent} {what}")
    if os.statvfs(parent).f_flag & os.ST_RDONLY:
        raise OutputError(str(path), f"the file system of {parent} is read-only; choose another place")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise OutputDenied(str(path), f"this user may not write in {parent}; choose another place")


def _is_disk(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(HEAD)
    return any(filesystem.recognises(head) for filesystem in FILESYSTEMS.values())


def _new_file_mode(directory: Path) -> int:
    """Tell the mode the umask gives a new file; asking the umask itself would change it for other threads."""
    probe = directory / f"mode-{os.urandom(8).hex()}"
    with opened(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY) as fd:
        os.unlink(probe)
        return stat.S_IMODE(os.fstat(fd).st_mode)
