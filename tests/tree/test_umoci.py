"""The merged tree, written out, against what `umoci unpack` makes of the same layers, entry by entry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support import umoci
from support.entries import (
    Layer,
    block,
    character,
    directory,
    fifo,
    file,
    hardlink,
    opaque,
    symlink,
    whiteout,
)
from support.everything import ACCESS_ACL, CAPABILITY, DEFAULT_ACL
from support.trees import differences, expected, scan

from builder.errors import LayerRefused
from builder.output.directory import write_directory
from builder.tree.spool import open_spool

pytestmark = pytest.mark.root

TIME: dict[str, Any] = {"mtime_ns": 1_234_567_890_123_456_789}
ROOT = directory("./", mode=0o755, **TIME)
USR_MERGE = [
    ROOT,
    directory("usr", **TIME),
    directory("usr/lib", mode=0o711, **TIME),
    file("usr/lib/libc", 10, **TIME),
    symlink("lib", "usr/lib", **TIME),
]
LINKS = [
    ROOT,
    file("a", 5, mode=0o4755, uid=7, **TIME),
    hardlink("b", "a", **TIME),
    hardlink("c", "b", **TIME),
    symlink("s", "a", **TIME),
    hardlink("t", "s", **TIME),
]
SUBTREE = [ROOT, directory("d", **TIME), file("d/f", 1), directory("d/e", **TIME), file("d/e/g", 2)]

SCENES: dict[str, list[Layer]] = {
    "metadata": [
        [
            ROOT,
            directory("tmp", mode=0o1777, **TIME),
            file("su", 9, mode=0o6755, uid=1, gid=2, mtime_ns=-5_000_000_000),
            file("ping", 9, xattrs={b"security.capability": CAPABILITY}, mtime_ns=9_000_000_000_000_000_000),
            file("acl", 9, mode=0o660, xattrs={b"system.posix_acl_access": ACCESS_ACL, b"trusted.x": b"\0\xff"}),
            directory("shared", mode=0o775, xattrs={b"system.posix_acl_default": DEFAULT_ACL}, **TIME),
            symlink("link", "/etc//../x/", uid=4294967294, xattrs={b"trusted.on.link": b"yes"}, **TIME),
            character("null", 1, 3, mode=0o666, **TIME),
            block("sda", 8, 1048575, mode=0o660, gid=6),
            fifo("pipe", mode=0o622, **TIME),
            file(b"\xff\n", 1),
            file("n" * 255, 1),
        ]
    ],
    "spellings": [[ROOT, directory("/a/", **TIME), file(".//a/./b", 3), file("./a//c", 4)]],
    "metadata of a directory replaced": [
        SUBTREE,
        [ROOT, directory("d", mode=0o700, uid=5, xattrs={b"trusted.d": b"2"}, mtime_ns=7)],
    ],
    "whiteouts": [SUBTREE, [ROOT, directory("d", **TIME), whiteout("d/e"), whiteout("d/none"), whiteout("no/where")]],
    "opaque": [SUBTREE, [ROOT, directory("d", **TIME), opaque("d"), file("d/new", 3)]],
    "opaque after the new": [SUBTREE, [ROOT, directory("d", **TIME), file("d/new", 3), opaque("d")]],
    "opaque root": [SUBTREE, [ROOT, opaque(), file("only", 3)]],
    "whiteout and new": [SUBTREE, [ROOT, whiteout("d"), directory("d", **TIME), file("d/new", 3)]],
    "whiteout through a symlink": [USR_MERGE, [ROOT, directory("usr", **TIME), whiteout("lib/libc")]],
    "file through a symlink": [USR_MERGE, [ROOT, file("lib/new", 3)]],
    "file through an absolute symlink": [
        [*USR_MERGE, symlink("lib64", "/lib", **TIME)],
        [ROOT, file("lib64/new", 3)],
    ],
    "file through a symlink that wants out": [
        [*USR_MERGE, symlink("lib64", "../../../usr/lib", **TIME)],
        [ROOT, file("lib64/new", 3)],
    ],
    "directory over a symlink": [USR_MERGE, [ROOT, directory("lib", **TIME), file("lib/new", 3)]],
    "hardlinks": [LINKS],
    "hardlink replaced above": [LINKS, [ROOT, file("a", 6, **TIME)]],
    "hardlink hidden above": [LINKS, [ROOT, whiteout("a"), whiteout("s")]],
    "hardlink to below": [LINKS, [ROOT, hardlink("new", "c"), hardlink("newer", "t")]],
    "hardlink to what is hidden behind it": [LINKS, [ROOT, hardlink("kept", "c"), whiteout("a"), whiteout("c")]],
    "hardlink through a symlink": [USR_MERGE, [ROOT, hardlink("l", "lib/libc")]],
    "hardlink header that differs": [LINKS, [ROOT, hardlink("d", "a", mode=0o600, uid=9, mtime_ns=1)]],
    "hardlink over a directory": [[*SUBTREE, file("f", 3)], [ROOT, hardlink("d", "f")]],
    "repeated": [[ROOT, file("x", 1), symlink("x", "y"), fifo("x"), file("x", 4), file("x", 2, **TIME)]],
    "file over directory": [SUBTREE, [ROOT, file("d", 3)]],
    "directory over file": [[ROOT, file("d", 3)], SUBTREE],
    "device over symlink": [LINKS, [ROOT, character("s", 1, 3)]],
}


@pytest.mark.parametrize("layers", SCENES.values(), ids=SCENES.keys())
def test_the_tree_is_what_umoci_unpacks(layers: list[Layer], tmp_path: Path) -> None:
    theirs, failure = umoci.unpack(tmp_path, layers)
    assert failure == ""
    with open_spool(tmp_path) as spool:
        tree = umoci.merged(layers, spool)
        assert differences(expected(tree, spool), scan(theirs)) == []
        assert write_directory(tree, spool, tmp_path / "ours") == []
        assert differences(scan(tmp_path / "ours"), scan(theirs)) == []


REFUSED: dict[str, list[Layer]] = {
    "hardlink to nothing": [[ROOT, hardlink("l", "none")]],
    "hardlink to a directory": [[ROOT, directory("d"), hardlink("l", "d")]],
    "hardlink to itself": [[ROOT, file("l", 1), hardlink("l", "l")]],
    "hardlink into what it replaces": [SUBTREE, [ROOT, hardlink("d", "d/f")]],
    "hardlink to what is hidden before it": [LINKS, [ROOT, whiteout("c"), hardlink("kept", "c")]],
    "whiteout of nothing": [[ROOT, file(".wh.")]],
    "root that is a file": [[file("./", 1)]],
    "root that is a symlink": [[symlink("./", "x")]],
    "file as a parent": [[ROOT, file("f", 1), file("f/g", 1)]],
    "loop": [[ROOT, symlink("a", "b"), symlink("b", "a"), file("a/f", 1)]],
}


@pytest.mark.parametrize("layers", REFUSED.values(), ids=REFUSED.keys())
def test_what_umoci_refuses_is_refused(layers: list[Layer], tmp_path: Path) -> None:
    _, failure = umoci.unpack(tmp_path, layers)
    assert failure != ""
    with open_spool(tmp_path) as spool, pytest.raises(LayerRefused):
        umoci.merged(layers, spool)
