"""What a disk is: what its superblock says, what stands beside it, and where its bytes are."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from builder.actions.confinement import Places, confine
from builder.disk import FILESYSTEMS, recognised
from builder.disk.description import Description, describe
from builder.disk.filesystem import HEAD
from builder.disk.reading import DiskMalformed, walk
from builder.disk.verity import tree_position
from builder.errors import BuilderError, UsageError
from builder.events import Listener, Stage
from builder.exact import read_up_to
from builder.files.descriptors import opened
from builder.limits import Limits
from builder.options import BuildOptions
from builder.output.beside import metadata_path, read_as
from builder.output.failures import failures_named
from builder.output.schema import Record
from builder.sandbox.policy import policy
from builder.tree.found import Found
from builder.tree.nodes import EMPTY, Content, Directory, File
from builder.tree.sums import Sums
from builder.tree.tree import Tree

# What veritysetup writes before its tree (cryptsetup, "DMVerity": superblock).
_VERITY = b"verity\0\0"
_UNIT = 4096


@dataclass(frozen=True, slots=True)
class DiskLook:
    """A disk: `size` of the whole in bytes, and what is beside it; `unreadable` says why that cannot be read.

    `hashed` is one that has a dm-verity hash tree behind its file system, whatever metadata say.
    """

    path: Path
    size: int
    description: Description
    hashed: bool
    record: Record | None = None
    unreadable: str | None = None


def is_disk(text: str) -> bool:
    """Tell whether a reference is the path of a disk: a file or a device that begins as one of our formats does."""
    # What is wrong with it is said when it is opened as an image.
    with suppress(OSError, ValueError):
        if stat.S_IFMT(os.stat(text).st_mode) in (stat.S_IFREG, stat.S_IFBLK):
            with opened(text, os.O_RDONLY | os.O_NONBLOCK) as fd:
                return recognised(read_up_to(fd, HEAD, 0)) is not None
    return False


def inspect_disk(
    path: Path, options: BuildOptions, listen: Listener, *, tree: bool = False
) -> tuple[DiskLook, Sums | None]:
    """Say what a disk is, and with `tree` where its bytes are. Raises BuilderError."""
    with policy(options.sandbox):
        confine(lambda: Places(read=[path, metadata_path(path)]))
        return look_at_disk(path), disk_sums(path, options.limits, listen) if tree else None


def look_at_disk(path: Path) -> DiskLook:
    """Say what a disk is, without reading its tree. Raises BuilderError for what is none, or cannot be read."""
    with failures_named(path, "check it"), opened(path, os.O_RDONLY | os.O_NONBLOCK) as fd:
        head, size = read_up_to(fd, HEAD, 0), os.lseek(fd, 0, os.SEEK_END)
        format = recognised(head)
        if format is None:
            raise UsageError(f"{path}: is no disk of the formats {', '.join(FILESYSTEMS)}; name one, or an image")
        described = describe(format, head)
        # Right behind the file system, or behind the room that --size left. Where nothing can be, a number lied.
        places = (-(-described.size // _UNIT) * _UNIT, tree_position(size))
        hashed = any(read_up_to(fd, len(_VERITY), place) == _VERITY for place in places if place < size)
    try:
        record = read_as(Record, path)
    except (BuilderError, OSError) as error:
        reason = str(error) if isinstance(error, BuilderError) else os.strerror(error.errno or errno.EIO)
        return DiskLook(path, size, described, hashed, unreadable=reason)
    return DiskLook(path, size, described, hashed, record)


def disk_sums(path: Path, limits: Limits, listen: Listener) -> Sums:
    """Find out where the bytes of a disk are, by the sizes of its files. Raises BuilderError.

    No content is read. A file with several names counts once.
    """
    with failures_named(path, "check it"), opened(path, os.O_RDONLY | os.O_NONBLOCK) as fd:
        format = recognised(read_up_to(fd, HEAD, 0)) or ""
        listen(Stage(f"reading the tree of the {format} file system"))
        tree = Tree()
        above: list[Directory] = []
        files: dict[int, File] = {}
        try:
            for found in walk(FILESYSTEMS[format].reader(fd), limits.max_entries):
                _add(tree, above, files, found)
        except DiskMalformed as error:
            raise DiskMalformed(f"{path}: {error.where}", error.reason) from error
    return Sums(tree)


def _add(tree: Tree, above: list[Directory], files: dict[int, File], found: Found) -> None:
    """Add a name to the tree; names come parents first, and `above` are the directories on the way to the last one."""
    if not found.path:
        above.append(tree.root)
        return
    parents, _, name = found.path.rpartition(b"/")
    del above[parents.count(b"/") + 2 if parents else 1 :]
    inode = found.inode
    if inode.is_directory:
        directory = Directory()
        above[-1].children[name] = directory
        above.append(directory)
    elif inode.is_file:
        file = files.get(inode.number) or File(content=Content(0, inode.size) if inode.size else EMPTY)
        if inode.links > 1:
            files[inode.number] = file
        above[-1].children[name] = file
