from __future__ import annotations

import pytest
from support.everything import SECOND

from builder.disk.erofs.layout import BLOCK
from builder.disk.erofs.limits import check_tree
from builder.errors import TreeRefused
from builder.tree.nodes import Content, Device, Directory, File, Symlink
from builder.tree.tree import Tree


@pytest.mark.parametrize(
    ("node", "reason"),
    [
        (File(xattrs={b"com.apple.quarantine": b""}), "no extended attribute 'com.apple.quarantine'"),
        (File(xattrs={b"system.posix_acl_access2": b""}), "no extended attribute"),
        (File(xattrs={b"user.": b""}), "no extended attribute"),
        (File(xattrs={b"user.x": bytes(65536)}), "too long"),
        (File(mtime_ns=(1 << 63) * SECOND), "64 bits"),
        (File(uid=1 << 32), "32 bits"),
        (File(content=Content(0, (1 << 44) + BLOCK)), "up to"),
        (Symlink(target=b""), "1 to 4095 bytes, not 0"),
        (Symlink(target=b"t" * 4096), "1 to 4095 bytes, not 4096"),
        (Device(major=4096, minor=0), "12 and 20 bits"),
    ],
)
def test_what_erofs_cannot_hold_is_refused_with_the_path(node: File | Symlink | Device, reason: str) -> None:
    tree = Tree()
    tree.root.children[b"etc"] = Directory(children={b"bad\n": node})
    with pytest.raises(TreeRefused, match=reason) as caught:
        check_tree(tree)
    assert caught.value.path == b"etc/bad\n"
    assert str(caught.value).startswith("'/etc/bad\\n': ")
