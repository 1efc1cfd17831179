"""Put finished files under their names: complete and synced, or not at all."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from builder.errors import OutputDenied, OutputError, UsageError

# Where ext4 and erofs superblocks start, and the magic numbers at and in them (little-endian).
_SUPERBLOCK = 1024
_EXT4_MAGIC = (_SUPERBLOCK + 56, b"\x53\xef")
_EROFS_MAGIC = (_SUPERBLOCK, b"\xe2\xe1\xf5\xe0")


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


def publish(draft: Path, output: Path) -> None:
    """Sync `draft`, give it the mode a new file has, and rename it to `output` on the same file system."""
    os.chmod(draft, _new_file_mode(draft.parent))
    sync(draft)
    os.replace(draft, output)
    sync(output.parent)


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a small file in one step, through a temporary name beside it."""
    with staged(path, data) as draft:
        publish(draft, path)


@contextmanager
def staged(path: Path, data: bytes) -> Iterator[Path]:
    """Write and sync a small file beside `path`, to be published there; what is not published is removed."""
    fd, name = tempfile.mkstemp(prefix=hidden_prefix(path.name), dir=path.parent)
    draft = Path(name)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
        sync(draft)
        yield draft
    finally:
        draft.unlink(missing_ok=True)


def hidden_prefix(name: str) -> str:
    """Begin the name of a temporary file for the output `name`, so short that a suffix still makes a legal name."""
    # Names end after 255 bytes, not characters.
    return f".{os.fsdecode(os.fsencode(name)[:150])}."


def sync(path: Path) -> None:
    """Wait until a file or directory is on the disk it lives on."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


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
        for offset, magic in (_EXT4_MAGIC, _EROFS_MAGIC):
            file.seek(offset)
            if file.read(len(magic)) == magic:
                return True
    return False


def _new_file_mode(directory: Path) -> int:
    """Tell the mode the umask gives a new file; asking the umask itself would change it for other threads."""
    probe = directory / f".mode-{os.urandom(8).hex()}"
    fd = os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    try:
        return stat.S_IMODE(os.fstat(fd).st_mode)
    finally:
        os.close(fd)
        os.unlink(probe)
