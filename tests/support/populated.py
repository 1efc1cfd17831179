"""A directory that has something of everything, for those who make file systems of directories."""

from __future__ import annotations

import os
import struct
from pathlib import Path


def populate(root: Path) -> None:
    """Make a directory that has something of everything; the current user must be root."""
    for name, size in (("small", 40), ("inline", 120), ("block", 4096), ("large", 3_000_001)):
        (root / name).write_bytes(bytes(range(1, 251)) * (size // 250) + b"e" * (size % 250))
    with (root / "holes").open("wb") as file:
        for number in range(0, 40, 3):
            file.seek(number * 300_000)
            file.write(b"%d" % number * 3000)
    (root / "sub/deeper").mkdir(parents=True)
    for number in range(300):
        (root / "sub" / f"{'long' * 20}{number}").touch()
    os.link(root / "block", root / "sub/another name")
    for length in (1, 30, 59, 60, 61, 1000):
        os.symlink("t" * length, root / f"link{length}")
    os.mknod(root / "null", 0o020666, os.makedev(1, 3))
    os.mknod(root / "disk", 0o060600, os.makedev(259, 300_000))
    os.mkfifo(root / "fifo")
    os.chown(root / "small", 70_000, 80_000)
    os.setxattr(root / "small", "user.little", b"value")
    os.setxattr(root / "block", "trusted.large", b"v" * 700)
    acl = b"\x02\0\0\0" + b"".join(
        struct.pack("<HHI", *entry)
        for entry in ((1, 6, 2**32 - 1), (2, 7, 1000), (4, 4, 2**32 - 1), (16, 7, 2**32 - 1), (32, 4, 2**32 - 1))
    )
    os.setxattr(root / "large", "system.posix_acl_access", acl)
    os.chmod(root / "fifo", 0o1622)
    os.utime(root / "holes", ns=(0, 1_234_567_890_123_456_789))
