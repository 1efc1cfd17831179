from __future__ import annotations

import os
import re
import struct
import subprocess
from pathlib import Path

import pytest
from support.disks import OPTIONS, pack_ext4, tree_of
from support.mounts import mounted

from builder.disk.ext4.xattr import encode_xattrs
from builder.errors import TreeRefused
from builder.tool import find_tool
from builder.tree.nodes import File
from builder.tree.spool import open_spool


def test_small_xattrs_stay_in_the_inode_and_need_no_block() -> None:
    body, block = encode_xattrs(b"f", {b"user.a": b"1234", b"security.capability": bytes(20)})
    assert block is None
    assert len(body) == 96
    assert struct.unpack_from("<I", body) == (0xEA020000,)
    # The shorter one first; offsets of values count from the first entry, behind the magic number.
    assert struct.unpack_from("<BBHII", body, 4) == (1, 1, 88, 0, 4)
    assert body[20:21] == b"a"
    assert body[92:96] == b"1234"
    assert struct.unpack_from("<BBHII", body, 24) == (10, 6, 68, 0, 20)
    assert body[40:50] == b"capability"


def test_the_block_takes_what_the_inode_has_no_room_for_up_to_its_last_byte() -> None:
    # 32 bytes of header, 16 + 4 of entry, 4 of end mark.
    value = bytes(range(256)) * 16
    _, block = encode_xattrs(b"f", {b"user.a": value[: 4096 - 56]})
    assert block is not None
    assert len(block) == 4096
    assert block.endswith(value[: 4096 - 56])
    with pytest.raises(TreeRefused, match="4 bytes larger than ext4 can hold"):
        encode_xattrs(b"f", {b"user.a": value[: 4096 - 55]})


def test_a_block_lists_its_entries_in_the_order_the_kernel_searches() -> None:
    names = [b"trusted.b", b"user.bb", b"user.aaa", b"user.b", b"security.z", b"user.ab"]
    _, block = encode_xattrs(b"f", {name: bytes(100) for name in names})
    assert block is not None
    listed, at = [], 32
    while block[at : at + 4] != bytes(4):
        length, index = block[at], block[at + 1]
        listed.append((index, block[at + 16 : at + 16 + length]))
        at += 16 + -(-length // 4) * 4
    assert listed == [(1, b"b"), (1, b"ab"), (1, b"bb"), (1, b"aaa"), (4, b"b"), (6, b"z")]


def test_an_access_control_list_is_stored_in_the_disks_own_version() -> None:
    entries = [(0x01, 7, 0xFFFFFFFF), (0x02, 6, 1000), (0x04, 5, 0xFFFFFFFF), (0x10, 7, 0xFFFFFFFF), (0x20, 0, 0)]
    value = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    body, block = encode_xattrs(b"f", {b"system.posix_acl_default": value})
    assert block is None
    stored = struct.pack("<IHHHHIHHHHHH", 1, 1, 7, 2, 6, 1000, 4, 5, 0x10, 7, 0x20, 0)
    assert body.endswith(stored)
    assert struct.unpack_from("<BBHII", body, 4) == (0, 3, 92 - len(stored), 0, len(stored))


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        (b"system.posix_acl_accessory", b"", "cannot hold an extended attribute named"),
        (b"system.data", b"", "cannot hold an extended attribute named"),
        (b"user." + b"n" * 251, b"", "cannot hold an extended attribute named"),
    ],
)
def test_xattrs_that_mean_nothing_to_ext4_are_refused(name: bytes, value: bytes, reason: str) -> None:
    with pytest.raises(TreeRefused, match=reason) as caught:
        encode_xattrs(b"dir/file", {name: value})
    assert caught.value.path == b"dir/file"


def held(block: bytes) -> list[tuple[int, bytes, bytes, int]]:
    """What a block of xattrs holds, in its order: index and rest of the name, value, hash; and the block's own hash."""
    (hashed,) = struct.unpack_from("<I", block, 12)
    found, at = [(0, b"", b"", hashed)], 32
    while block[at : at + 4] != bytes(4):
        length, index, offset, _, size, entry_hash = struct.unpack_from("<BBHIII", block, at)
        found.append((index, block[at + 16 : at + 16 + length], block[offset : offset + size], entry_hash))
        at += 16 + -(-length // 4) * 4
    return found


@pytest.mark.root
@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_block_has_the_hashes_that_the_kernel_gives_the_same_xattrs(tmp_path: Path, count: int) -> None:
    # Too long for the inode, each of them, and of lengths that are no multiples of a word.
    namespaces = (b"user.", b"trusted.", b"security.")
    xattrs = {namespaces[n % 3] + b"name%d" % n * (n + 1): bytes(range(100 + n)) * (n + 1) for n in range(count)}
    image = tmp_path / "image"
    with open_spool(tmp_path) as spool:
        pack_ext4(tree_of(file=File()), spool, image, OPTIONS)
    with mounted(image, "rw") as root:
        for name, value in xattrs.items():
            os.setxattr(root / "file", name, value)
    stated = subprocess.run(
        [find_tool("debugfs"), "-R", "stat /file", image], capture_output=True, text=True, check=True
    )
    place = re.search(r"File ACL: (\d+)", stated.stdout)
    assert place is not None
    with image.open("rb") as file:
        file.seek(int(place[1]) * 4096)
        made_by_the_kernel = file.read(4096)
    _, block = encode_xattrs(b"file", xattrs)
    assert held(block or b"") == held(made_by_the_kernel)
    assert len(held(made_by_the_kernel)) == 1 + count
