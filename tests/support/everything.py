"""One tree with at least one of everything a root file system can hold."""

from __future__ import annotations

import struct

from builder.tree.nodes import Device, Directory, Fifo, File, Symlink
from builder.tree.spool import Spool
from builder.tree.tree import Tree

SECOND = 1_000_000_000
# cap_net_raw+ep (linux/capability.h, VFS_CAP_REVISION_2).
CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0)


def acl(*extra: tuple[int, int, int], owner: int = 7, group: int = 5, other: int = 5) -> bytes:
    """A POSIX ACL as an xattr (linux/posix_acl_xattr.h); `extra` are (tag, permissions, id) between the three."""
    nobody = 0xFFFFFFFF
    entries = [(0x01, owner, nobody), (0x04, group, nobody), (0x20, other, nobody), *extra]
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in sorted(entries))


# user 1000 may read and write, the mask lets that through.
ACCESS_ACL = acl((0x02, 6, 1000), (0x10, 6, 0xFFFFFFFF), owner=6, group=4, other=0)
DEFAULT_ACL = acl((0x02, 7, 1000), (0x10, 7, 0xFFFFFFFF))


# A content for Spool.add, of 3 MiB: a hole, a block of data, a hole.
SPARSE = [(1 << 20, b"x" * 4096)]


def everything(spool: Spool) -> Tree:
    """Make the tree; content goes to `spool`."""

    def content(data: bytes) -> File:
        return File(0o644, content=spool.keep(data))

    tree = Tree(Directory(0o755, 0, 0, 5 * SECOND))
    shared, setuid, capable, listed = content(b"shared"), content(b"#!"), content(b"ping"), content(b"acl" * 5000)
    setuid.mode, setuid.uid = 0o6755, 0
    capable.xattrs = {b"security.capability": CAPABILITY}
    listed.mode, listed.uid, listed.gid = 0o660, 1000, 4294967294
    listed.xattrs = {b"system.posix_acl_access": ACCESS_ACL, b"trusted.blob": bytes(range(256))}
    link = Symlink(0o777, 1, 2, -1, {b"trusted.on.link": b"yes"}, b"../nowhere/\xff")
    null = Device(0o666, 0, 6, 3 * SECOND, {b"trusted.on.device": b"yes"}, False, 1, 3)
    holes = File(0o600, 3, 4, 1_500_000_000_123_456_789, content=spool.add(3 << 20, SPARSE))
    tree.root.children = {
        b"bin": Directory(0o755, children={b"su": setuid, b"ping": capable}),
        b"dev": Directory(
            0o755,
            children={
                b"null": null,
                b"null2": null,
                b"sda": Device(0o660, 0, 6, 0, block=True, major=8, minor=1048575),
                b"tty": Device(0o620, major=4095, minor=1),
            },
        ),
        b"acl": Directory(
            0o775,
            1000,
            50,
            -1_500_000_000,
            {b"system.posix_acl_default": DEFAULT_ACL},
            {b"sub": Directory(0o700), b"file": content(b"no acl"), b"listed": listed},
        ),
        b"empty": content(b""),
        b"fifo": Fifo(0o622, 5, 6, SECOND // 2),
        b"locked": Directory(0o000, children={b"in": Directory(0o000, children={b"side": content(b"hidden")})}),
        b"tmp": Directory(0o1777, mtime_ns=13_000_000_000 * SECOND),
        b"setgid": Directory(0o2775, 0, 100, children={b"inherits nothing": content(b"g")}),
        b"a": shared,
        b"b": Directory(0o755, children={b"c": Directory(0o755, children={b"shared": shared, b"link": link})}),
        b"z": shared,
        b"link": link,
        b"new\nline": holes,
        b"\xff\xfe": Symlink(0o777, target=b"/etc/passwd"),
        b"n" * 255: content(b"long name"),
        b"-rf *": Directory(0o755),
    }
    return tree
