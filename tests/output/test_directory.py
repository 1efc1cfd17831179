"""The tree on a real file system: all of it for root, all that is allowed for others, and nothing beside it."""

from __future__ import annotations

import errno
import json
import os
import resource
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.entries import directory, file, hardlink, merged, symlink
from support.everything import ACCESS_ACL, DEFAULT_ACL, everything
from support.trees import Found, differences, expected, scan
from support.users import ids, open_to_users, run_as_user

from builder.errors import OutputError
from builder.files.removal import remove_tree
from builder.output.directory import Unrestored, write_directory
from builder.tree.nodes import Directory, File
from builder.tree.spool import Spool
from builder.tree.tree import Tree


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Path]:
    """Where to write; removed afterwards with our own means, as pytest's give up on deep trees."""
    yield tmp_path / "root"
    remove_tree(tmp_path / "root")


@pytest.mark.root
def test_root_restores_everything(spool: Spool, target: Path) -> None:
    tree = everything(spool)
    assert write_directory(tree, spool, target) == []
    assert differences(scan(target), expected(tree, spool)) == []


@pytest.mark.root
@pytest.mark.parametrize("umask", [0o000, 0o077, 0o777])
def test_the_umask_has_no_say(spool: Spool, target: Path, umask: int) -> None:
    tree = everything(spool)
    before = os.umask(umask)
    try:
        assert write_directory(tree, spool, target) == []
    finally:
        os.umask(before)
    assert differences(scan(target), expected(tree, spool)) == []


@pytest.mark.root
def test_acls_of_the_directory_written_into_are_not_handed_on(spool: Spool, target: Path) -> None:
    target.mkdir()
    os.setxattr(target, "system.posix_acl_default", DEFAULT_ACL)
    os.setxattr(target, "system.posix_acl_access", ACCESS_ACL)
    tree = everything(spool)
    assert write_directory(tree, spool, target) == []
    assert differences(scan(target), expected(tree, spool)) == []


@pytest.mark.root
def test_a_setgid_directory_written_into_hands_nothing_on(spool: Spool, tmp_path: Path, target: Path) -> None:
    os.chown(tmp_path, 0, 77)
    os.chmod(tmp_path, 0o2755)
    tree = everything(spool)
    assert write_directory(tree, spool, target) == []
    assert differences(scan(target), expected(tree, spool)) == []


WRITE = """
with open_spool(Path(sys.argv[1])) as spool:
    tree = everything(spool)
    unrestored = write_directory(tree, spool, Path(sys.argv[1], "root"))
    print(json.dumps([[each.what, each.count, each.example.decode()] for each in unrestored]))
"""
IMPORTS = """
import errno
import json
from pathlib import Path
from builder.output.directory import write_directory
from builder.files.removal import remove_tree
from builder.tree.spool import open_spool
from support.everything import everything
"""


def own_directory(path: Path) -> Path:
    """A directory of the ordinary user's."""
    own = open_to_users(path) / "user"
    own.mkdir()
    os.chown(own, *ids())
    return own


def as_others_may(wanted: dict[bytes, Found], uid: int, gid: int) -> dict[bytes, Found]:
    """What of a tree an ordinary user may restore."""
    return {
        path: replace(
            found,
            uid=uid,
            gid=gid,
            mode=found.mode & (0o7777 if (found.uid, found.gid) == (uid, gid) else 0o1777),
            xattrs={name: value for name, value in found.xattrs.items() if name.startswith(b"system.")},
        )
        for path, found in wanted.items()
        if found.kind not in ("character", "block")
    }


@pytest.mark.root
def test_an_ordinary_user_restores_what_is_allowed_and_says_what_is_not(spool: Spool, tmp_path: Path) -> None:
    own = own_directory(tmp_path)
    said = run_as_user(IMPORTS, WRITE, own)
    wanted = expected(everything(spool), spool)
    allowed = as_others_may(wanted, *ids())
    assert differences(scan(own / "root"), allowed) == []
    assert json.loads(said) == [
        ["device node", 4, "dev/null"],
        ["extended attribute", 3, "acl/listed"],
        ["owner", len({found.same_as for found in allowed.values()}), "-rf *"],
        ["setuid or setgid bit", 2, "bin/su"],
    ]
    run_as_user(IMPORTS, "remove_tree(Path(sys.argv[1], 'root'))", own)
    assert os.listdir(own) == []


@pytest.mark.root
def test_root_of_a_container_restores_what_its_capabilities_allow(spool: Spool, tmp_path: Path, target: Path) -> None:
    argv = ["setpriv", "--bounding-set=-mknod,-setfcap", sys.executable, "-c", f"import sys\n{IMPORTS}\n{WRITE}"]
    path = os.pathsep.join(filter(None, sys.path))
    said = subprocess.run([*argv, tmp_path], env={"PYTHONPATH": path}, check=True, stdout=subprocess.PIPE).stdout
    assert json.loads(said) == [["device node", 4, "dev/null"], ["extended attribute", 1, "bin/ping"]]
    wanted = expected(everything(spool), spool)
    allowed = {
        name: replace(found, xattrs={}) if name == b"bin/ping" else found
        for name, found in wanted.items()
        if found.kind not in ("character", "block")
    }
    assert differences(scan(target), allowed) == []


def test_whoever_runs_this_restores_the_own_files_of_a_tree(spool: Spool, target: Path) -> None:
    tree = Tree(Directory(0o750, os.geteuid(), os.getegid(), 3_000_000_001))
    content = spool.keep(b"12345")
    shared = File(0o4711, os.geteuid(), os.getegid(), 7, content=content)
    inner = Directory(0o000, os.geteuid(), os.getegid(), 9, children={b"again": shared})
    tree.root.children = {b"f": shared, b"locked": inner}
    assert write_directory(tree, spool, target) == []
    assert stat.S_IMODE((target / "locked").stat().st_mode) == 0
    (target / "locked").chmod(0o700)
    inner.mode = 0o700
    assert differences(scan(target), expected(tree, spool)) == []


@pytest.mark.parametrize("year", [1800, 1960, 2100, 3000])
def test_a_time_that_the_file_system_cannot_hold_is_said(year: int, spool: Spool, target: Path) -> None:
    time = (year - 1970) * 31_556_952 * 10**9
    layer = [directory("d", mtime_ns=time), symlink("d/s", "nowhere", mtime_ns=time), file("d/f", mtime_ns=time)]
    said = [each.count for each in write_directory(merged(layer), spool, target) if each.what == "modification time"]
    kept = {os.lstat(target / name).st_mtime_ns == time for name in ("d", "d/s", "d/f")}
    assert (said, kept) in (([], {True}), ([3], {False}))


def test_what_is_unrestored_reads_as_a_line() -> None:
    assert str(Unrestored("owner", 1, b"a\nb")) == "owner not restored: '/a\\nb'"
    assert str(Unrestored("owner", 42, b"etc")) == "owner not restored: '/etc' and 41 more"


def test_an_empty_directory_is_taken_and_gets_the_metadata_of_the_root(spool: Spool, target: Path) -> None:
    target.mkdir(mode=0o700)
    tree = Tree(Directory(0o751, os.geteuid(), os.getegid(), 123_456_789_012_345_678))
    assert write_directory(tree, spool, target) == []
    assert differences(scan(target), expected(tree, spool)) == []


@pytest.mark.root
def test_an_empty_directory_of_ones_own_is_opened_for_writing(tmp_path: Path) -> None:
    own = own_directory(tmp_path)
    (own / "root").mkdir()
    os.chown(own / "root", *ids())
    (own / "root").chmod(0o500)
    run_as_user(IMPORTS, WRITE, own)
    assert (own / "root" / ("n" * 255)).read_text() == "long name"


def test_a_directory_with_anything_in_it_is_left_alone(spool: Spool, target: Path) -> None:
    target.mkdir(mode=0o701)
    (target / "precious").write_text("mine")
    with pytest.raises(OutputError) as refused:
        write_directory(merged([file("precious")]), spool, target)
    assert str(refused.value) == f"{target}: is not empty; name a new or an empty directory"
    assert (target / "precious").read_text() == "mine"
    assert stat.S_IMODE(target.stat().st_mode) == 0o701


def test_a_file_is_not_written_into(spool: Spool, target: Path) -> None:
    target.write_text("mine")
    with pytest.raises(OutputError, match="cannot write '/'"):
        write_directory(Tree(), spool, target)
    assert target.read_text() == "mine"


def test_symlinks_of_the_tree_are_not_followed(spool: Spool, tmp_path: Path, target: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o700)
    (outside / "file").write_text("mine")
    before = scan(outside)
    tree = merged(
        [
            symlink("away", str(outside), mtime_ns=5),
            symlink("file", str(outside / "file"), uid=77, mtime_ns=5),
            hardlink("linked", "file"),
            directory("dir"),
        ]
    )
    write_directory(tree, spool, target)
    assert scan(outside) == before
    assert {path: found.target for path, found in scan(target).items() if found.kind == "symlink"} == {
        b"away": os.fsencode(outside),
        b"file": os.fsencode(outside / "file"),
        b"linked": os.fsencode(outside / "file"),
    }


def deep(levels: int) -> Tree:
    """Directories below each other, the first and the last with a name of the same file and of another."""
    top = bottom = Directory()
    for _ in range(levels):
        bottom.children[b"d"] = below = Directory(0o711, mtime_ns=7)
        bottom = below
    up, down = File(mode=0o600), File(mode=0o640)
    top.children |= {b"a": down, b"z": up}
    bottom.children |= {b"down": down, b"up": up}
    return Tree(top)


def test_deep_trees_need_few_descriptors(spool: Spool, target: Path) -> None:
    tree = deep(2100)
    for node in tree.nodes():
        node.uid, node.gid = os.geteuid(), os.getegid()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    in_use = len(os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (in_use + 40, hard))
    try:
        assert write_directory(tree, spool, target) == []
        assert differences(scan(target), expected(tree, spool)) == []
        remove_tree(target)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert not target.exists()


def test_what_cannot_be_written_is_named(spool: Spool, target: Path) -> None:
    tree = merged([directory("d")])
    tree.root.children[b"d"].children = {b"n" * 256: File()}  # type: ignore[union-attr]
    with pytest.raises(
        OutputError, match=r"^named: cannot write '/d/nnn.*: File name too long; choose another directory$"
    ):
        write_directory(tree, spool, target, Path("named"))


def test_a_file_system_that_knows_no_attributes_gets_what_has_none(
    spool: Spool, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As FUSE answers, where what is behind it has none."""

    def none(*_: object, **__: object) -> list[str]:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    tree = merged([file("f", uid=os.geteuid(), gid=os.getegid())])
    with monkeypatch.context() as patched:
        patched.setattr(os, "listxattr", none)
        write_directory(tree, spool, target)
    assert os.listdir(target) == ["f"]
