"""What mkfs.erofs gets of a tree, as a directory: for versions that read no tar."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from builder.disk.erofs.layout import placeholder
from builder.disk.erofs.plan import Plan
from builder.errors import MissingRequirement
from builder.files.attributes import attribute_names
from builder.files.descriptors import is_exchangeable, shown
from builder.files.removal import remove_tree
from builder.files.workspace import workspace
from builder.tree.nodes import Node
from builder.tree.spool import Spool

# For large files, and for files that outlast a restart (Filesystem Hierarchy Standard, 5.15).
_TEMPORARY = Path("/var/tmp")

# INT_MAX, for which mkfs.erofs shares no attribute between inodes.
_NEVER_SHARED = 2**31 - 1


@contextmanager
def staged(planned: Plan, spool: Spool, scratch: Path) -> Iterator[tuple[Path, str]]:
    """Write the files of `planned` to a directory of its own, removed at the end.

    Yields the directory and the mkfs.erofs option for extended attributes. Raises MissingRequirement for a file system
    without them, if the tree has any.
    """
    has_xattrs = any(node.xattrs for node in (planned.root, *planned.packed))
    # Never shared between inodes: each gets its own. Without any, the host's attributes are of no interest.
    option = f"-x{_NEVER_SHARED if has_xattrs else -1}"
    with _directory(scratch) as directory:
        if has_xattrs:
            _check_xattrs(directory)
        try:
            _stage(planned, spool, os.fsencode(directory))
        except OSError as error:
            # Nobody knows the files that are made there.
            error.filename = os.fspath(directory.parent)
            raise
        # It follows the path link by link, whatever it is.
        yield Path(os.path.realpath(directory)), option


@contextmanager
def _directory(scratch: Path) -> Iterator[Path]:
    """Make a directory below `scratch`, unless others may exchange it while mkfs.erofs reads for root what is there."""
    exchangeable = os.geteuid() == 0 and is_exchangeable(scratch)
    if exchangeable and is_exchangeable(_TEMPORARY):
        raise MissingRequirement(
            f"other users may change {shown(scratch)} and {_TEMPORARY}, and this mkfs.erofs reads no tar: "
            "use a --tmpdir that only root may change, or install erofs-utils 1.7 or newer"
        )
    with workspace(_TEMPORARY, "erofs") if exchangeable else nullcontext() as elsewhere:
        directory = (elsewhere.path if elsewhere else scratch) / "erofs"
        directory.mkdir(0o700)
        try:
            yield directory
        finally:
            remove_tree(directory)


def _check_xattrs(directory: Path) -> None:
    # SELinux labels and inherited ACLs: mkfs.erofs would copy them into the image.
    if foreign := attribute_names(directory):
        raise MissingRequirement(
            f"the file system of {shown(directory)} gives new files {', '.join(foreign)}: use another --tmpdir, "
            "or install erofs-utils 1.7 or newer"
        )


def _stage(planned: Plan, spool: Spool, base: bytes) -> None:
    _reserve(base, planned.root)
    last = b""
    for name, file in planned.fed():
        directory = base + b"/" + name.partition(b"/")[0]
        if directory != last:
            os.mkdir(directory, 0o700)
            last = directory
        path = base + b"/" + name
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            spool.copy(file.content, fd)
        finally:
            os.close(fd)
        _reserve(path, file)


def _reserve(path: bytes, node: Node) -> None:
    if not node.xattrs:
        return
    name, room = placeholder(node.xattrs)
    try:
        os.setxattr(path, name, room)
    except OSError as error:
        raise MissingRequirement(
            f"the file system of {shown(os.fsdecode(path))} keeps no extended attribute of {len(room)} bytes "
            f"({error.strerror}): use another --tmpdir, or install erofs-utils 1.7 or newer"
        ) from error
