"""The tree written to a real directory: what `unpack` makes, and what tools that read directories get.

Everything happens relative to descriptors of directories that this process has just made, so nothing in the
tree, and nobody beside it, can redirect a write.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from builder.errors import MissingRequirement, OutputError
from builder.files.attributes import attribute_names
from builder.files.below import LISTED
from builder.files.descent import Descent
from builder.linux import ACLS
from builder.output.failures import failed
from builder.output.restore import DEVICE, Restorer, Unrestored
from builder.tree.nodes import Device, Directory, Fifo, File, Node, Symlink, type_bits
from builder.tree.spool import Spool
from builder.tree.tree import Tree
from builder.words import quoted

__all__ = ["Unrestored", "write_directory"]

NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

# Access and default POSIX ACLs: a directory hands the second on to whatever is made in it.
_ACLS = frozenset(map(os.fsdecode, ACLS))


def write_directory(tree: Tree, spool: Spool, path: Path, output: Path | None = None) -> list[Unrestored]:
    """Write `tree` into the directory `path`, which is empty or does not exist yet; `output` is its name in errors.

    Returns what this process had no right to restore, or the file system cannot hold, by kind. A device node that it
    may not make is left out; setuid and setgid bits are dropped where the owner is not restored. Raises OutputError,
    OutputDenied or Shortage, and leaves what it has written until then: the caller removes that, with remove_tree.
    """
    if not os.path.isdir("/proc/self/fd"):
        raise MissingRequirement("/proc is not mounted: symlinks and special files are reached through it")
    writer = _Writer(tree, spool)
    try:
        with _open_empty(path) as top:
            writer.write(top)
    except OSError as error:
        doing = f"cannot write {quoted(b'/' + writer.path)}: "
        raise failed(output or path, error, "choose another directory", doing) from error
    return writer.restorer.unrestored()


@contextmanager
def _open_empty(path: Path) -> Iterator[int]:
    path.mkdir(mode=0o700, exist_ok=True)
    # The directory itself may be behind a symlink: naming it is the caller's business.
    top = os.open(path, LISTED)
    try:
        if os.listdir(top):
            raise OutputError(str(path), "is not empty; name a new or an empty directory")
        os.chmod(top, 0o700)
        for acl in _ACLS & set(attribute_names(top)):
            os.removexattr(top, acl)
        yield top
    finally:
        os.close(top)


class _Writer:
    """One tree on its way to disk; `path` is the node being written, for errors."""

    def __init__(self, tree: Tree, spool: Spool) -> None:
        self.path = b""
        self.restorer = Restorer()
        self._tree = tree
        self._spool = spool
        self._hardlinked = tree.hardlinked()
        # The first name of each node that has several; not there if it could not be made.
        self._first: dict[int, bytes] = {}

    def write(self, top: int) -> None:
        """Write everything below the root, which is open as `top`; a directory's metadata after its children."""
        with Descent(os.dup(top)) as place:
            stack = [(b"", self._tree.root, _in_order(self._tree.root))]
            while True:
                prefix, directory, siblings = stack[-1]
                name, node = next(siblings, (b"", None))
                if node is None:
                    stack.pop()
                    self.path = prefix.removesuffix(b"/")
                    if not stack:
                        break
                    self._leave(place, directory)
                    continue
                self.path = prefix + name
                if isinstance(node, Directory):
                    os.mkdir(name, 0o700, dir_fd=place.fd)
                    place.enter(name)
                    stack.append((self.path + b"/", node, _in_order(node)))
                elif id(node) in self._first:
                    self._link(top, place.fd, name, self._first[id(node)])
                elif self._make(place.fd, name, node) and id(node) in self._hardlinked:
                    self._first[id(node)] = self.path
        self.restorer.restore(top, self.path, self._tree.root)

    def _leave(self, place: Descent, directory: Directory) -> None:
        # Up first: the mode to come may forbid this process to look for `..`.
        fd = place.leave()
        try:
            self.restorer.restore(fd, self.path, directory)
        finally:
            os.close(fd)

    def _link(self, top: int, parent: int, name: bytes, first: bytes) -> None:
        *above, source = first.split(b"/")
        with Descent(os.dup(top)) as place:
            for component in above:
                place.enter(component)
            # A hardlink to a symlink is one more name of the symlink.
            os.link(source, name, src_dir_fd=place.fd, dst_dir_fd=parent, follow_symlinks=False)

    def _make(self, parent: int, name: bytes, node: Node) -> bool:
        """Make a new inode and tell whether it is there: not without the right to make devices."""
        match node:
            case File(content=content):
                fd = os.open(name, NEW_FILE, 0o600, dir_fd=parent)
                try:
                    self._spool.copy(content, fd)
                    self.restorer.restore(fd, self.path, node)
                finally:
                    os.close(fd)
                return True
            case Symlink(target=target):
                os.symlink(target, name, dir_fd=parent)
            case Device() | Fifo():
                if not self._make_special(parent, name, node):
                    return False
        # Neither opened nor followed, these can still be reached by way of a descriptor that only names them.
        fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        try:
            self.restorer.restore(f"/proc/self/fd/{fd}", self.path, node)
        finally:
            os.close(fd)
        return True

    def _make_special(self, parent: int, name: bytes, node: Device | Fifo) -> bool:
        if isinstance(node, Fifo):
            os.mkfifo(name, 0o600, dir_fd=parent)
            return True
        try:
            os.mknod(name, type_bits(node) | 0o600, os.makedev(node.major, node.minor), dir_fd=parent)
        except PermissionError:
            self.restorer.miss(DEVICE, self.path)
            return False
        return True


def _in_order(directory: Directory) -> Iterator[tuple[bytes, Node]]:
    return iter(sorted(directory.children.items()))
