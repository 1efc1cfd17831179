"""A tar member's header as an inode of the tree, held against what a Linux file system can hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from builder.archive.entry import Entry, Kind
from builder.linux import (
    MAX_ID,
    MAX_MAJOR,
    MAX_MINOR,
    MAX_PATH,
    MODE_BITS,
    SYMLINK_MODE,
)
from builder.tree.nodes import Content, Device, Directory, Fifo, File, Node, Symlink
from builder.tree.paths import Refusal
from builder.tree.xattrs import Xattrs


class Inodes:
    """Makes inodes out of headers, one layer's."""

    def __init__(self) -> None:
        self._xattrs = Xattrs()

    def make(self, entry: Entry, content: Content) -> Node:
        """Make the inode of any entry that is not a hardlink; raises Refusal for what Linux cannot hold."""
        mode, uid, gid, mtime_ns, xattrs = self._metadata(entry)
        match entry.kind:
            case Kind.FILE:
                return File(mode, uid, gid, mtime_ns, xattrs, content)
            case Kind.DIRECTORY:
                return Directory(mode, uid, gid, mtime_ns, xattrs)
            case Kind.SYMLINK:
                return Symlink(SYMLINK_MODE, uid, gid, mtime_ns, xattrs, _symlink_target(entry.link))
            case Kind.FIFO:
                return Fifo(mode, uid, gid, mtime_ns, xattrs)
            case Kind.CHARACTER | Kind.BLOCK:
                _check_device(entry)
                block = entry.kind is Kind.BLOCK
                return Device(mode, uid, gid, mtime_ns, xattrs, block, entry.major, entry.minor)
            case _:
                raise ValueError(f"{entry.kind.value} has no inode of its own")

    def restate(self, directory: Directory, entry: Entry) -> None:
        """Give a directory that exists the metadata of an entry; its children stay."""
        mode, uid, gid, mtime_ns, xattrs = self._metadata(entry)
        directory.mode = mode
        directory.uid = uid
        directory.gid = gid
        directory.mtime_ns = mtime_ns
        directory.xattrs = xattrs

    def dropped(self) -> Iterator[str]:
        """Say what of the layer's extended attributes was left out, in whole sentences."""
        return self._xattrs.dropped()

    def _metadata(self, entry: Entry) -> tuple[int, int, int, int, Mapping[bytes, bytes]]:
        # Most often the very same object, which many inodes share.
        mode = entry.mode if entry.mode <= MODE_BITS else entry.mode & MODE_BITS
        uid, gid = entry.uid, entry.gid
        if not (0 <= uid <= MAX_ID and 0 <= gid <= MAX_ID):
            raise Refusal(f"its owner {uid}:{gid} is not between 0 and {MAX_ID}")
        return mode, uid, gid, entry.mtime_ns, self._xattrs.kept(entry)


def _symlink_target(target: bytes) -> bytes:
    if not target:
        raise Refusal("is a symlink to nothing")
    if b"\0" in target:
        raise Refusal("is a symlink with a NUL byte in its target")
    if len(target) > MAX_PATH:
        raise Refusal(f"is a symlink with a target of more than {MAX_PATH} bytes")
    return target


def _check_device(entry: Entry) -> None:
    if not (0 <= entry.major <= MAX_MAJOR and 0 <= entry.minor <= MAX_MINOR):
        numbers = f"{entry.major}:{entry.minor}"
        raise Refusal(f"is a device {numbers}, and Linux has none beyond {MAX_MAJOR}:{MAX_MINOR}")
