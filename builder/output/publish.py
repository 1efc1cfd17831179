"""Put finished files under their names: complete and synced, or not at all."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from builder.errors import OutputError

# Where ext4 and erofs superblocks start, and the magic numbers at and in them (little-endian).
_SUPERBLOCK = 1024
_EXT4_MAGIC = (_SUPERBLOCK + 56, b"\x53\xef")
_EROFS_MAGIC = (_SUPERBLOCK, b"\xe2\xe1\xf5\xe0")


def check_output(path: Path, force: bool) -> None:
    """Refuse, before any work is done, an output that could not or should not be written.

    An older disk is replaced, as a compiler replaces an older object; any other file only with `force`, for it is
    more likely a mistake. Raises OutputError.
    """
    _check_parent(path)
    try:
        status = path.stat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise OutputError(str(path), error.strerror or str(error)) from error
    if not stat.S_ISREG(status.st_mode):
        raise OutputError(str(path), "exists and is not a regular file; name a file")
    if not force and status.st_size > 0 and not _is_disk(path):
        raise OutputError(str(path), "exists and is not a disk image; remove it or add --force")


def check_side_output(path: Path) -> None:
    """Refuse a place for a metadata or dependency file that could not be written. Raises OutputError."""
    _check_parent(path)
    if path.is_dir():
        raise OutputError(str(path), "is a directory; name a file")


def check_directory(path: Path) -> None:
    """Refuse a directory to unpack into that is not new or empty. Raises OutputError."""
    _check_parent(path)
    if path.is_dir() and not any(path.iterdir()):
        return
    if os.path.lexists(path):
        raise OutputError(str(path), "exists and is not an empty directory; choose another, or remove it")


def publish(draft: Path, output: Path) -> None:
    """Sync `draft`, give it the mode a new file has, and rename it to `output` on the same file system."""
    os.chmod(draft, _new_file_mode(draft.parent))
    _sync(draft)
    os.replace(draft, output)
    _sync(output.parent)


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a small file in one step, through a temporary name beside it."""
    fd, name = tempfile.mkstemp(prefix=f".{path.name[:150]}.", dir=path.parent)
    draft = Path(name)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
        publish(draft, path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def _check_parent(path: Path) -> None:
    if not path.parent.is_dir():
        raise OutputError(str(path), f"the directory {path.parent} does not exist; make it first")


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


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
