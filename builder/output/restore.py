"""Owner, mode, xattrs and time of a tree's node put on a real inode, as far as the process may."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass

from builder.tree.nodes import Node, Symlink
from builder.words import quoted

SET_ID = 0o6000

# What the kernel says when a right, a namespace, a mapped id or room in the inode is missing.
_DENIED = frozenset({errno.EPERM, errno.EACCES, errno.EINVAL})
_XATTR_DENIED = _DENIED | {errno.EOPNOTSUPP, errno.E2BIG, errno.ERANGE, errno.ENOSPC}

OWNER = "owner"
SET_ID_BIT = "setuid or setgid bit"
DEVICE = "device node"
XATTR = "extended attribute"
TIME = "modification time"

# In nanoseconds since 1970: what all file systems of Linux hold, more or less exactly; others come out as their last.
_HELD = range(-(2**31) * 10**9, 2**31 * 10**9)


@dataclass(frozen=True, slots=True)
class Unrestored:
    """A kind of fact that a real directory did not take: how often, and the first path, relative to the root."""

    what: str
    count: int
    example: bytes

    def __str__(self) -> str:
        more = f" and {self.count - 1} more" if self.count > 1 else ""
        return f"{self.what} not restored: {quoted(b'/' + self.example)}{more}"


class Restorer:
    """Restores metadata and keeps account of what could not be."""

    def __init__(self) -> None:
        self._unrestored: dict[str, Unrestored] = {}

    def unrestored(self) -> list[Unrestored]:
        """Say what was not restored so far, one value per kind, ordered by kind."""
        return [self._unrestored[what] for what in sorted(self._unrestored)]

    def miss(self, what: str, path: bytes) -> None:
        """Take down that `what` was not restored at `path`."""
        known = self._unrestored.get(what)
        self._unrestored[what] = (
            Unrestored(what, known.count + 1, known.example) if known else Unrestored(what, 1, path)
        )

    def restore(self, inode: int | str, path: bytes, node: Node) -> None:
        """Put a node's metadata on `inode`: a descriptor, or the `/proc/self/fd` name of one that is O_PATH."""
        mode = node.mode
        # The owner comes first: chown clears setuid bits and file capabilities, even for root.
        if not self._chown(inode, path, node) and mode & SET_ID:
            # As a program of another owner it would lend out the rights of whoever unpacks.
            self.miss(SET_ID_BIT, path)
            mode &= ~SET_ID
        if not isinstance(node, Symlink):
            os.chmod(inode, mode)
        for name, value in node.xattrs.items():
            self._setxattr(inode, path, name, value)
        # Last of all, because it is what the other steps must not change.
        os.utime(inode, ns=(node.mtime_ns, node.mtime_ns))
        if node.mtime_ns not in _HELD and os.stat(inode).st_mtime_ns // 10**9 != node.mtime_ns // 10**9:
            self.miss(TIME, path)

    def _chown(self, inode: int | str, path: bytes, node: Node) -> bool:
        try:
            os.chown(inode, node.uid, node.gid)
        except OSError as error:
            if error.errno not in _DENIED:
                raise
            self.miss(OWNER, path)
            return False
        return True

    def _setxattr(self, inode: int | str, path: bytes, name: bytes, value: bytes) -> None:
        try:
            os.setxattr(inode, name, value)
        except OSError as error:
            if error.errno not in _XATTR_DENIED:
                raise
            self.miss(XATTR, path)
