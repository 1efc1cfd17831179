"""Trees packed as erofs, looked at by the kernel and by fsck.erofs, whichever way mkfs.erofs was fed."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
from support.everything import SECOND, everything
from support.mounts import mounted
from support.trees import differences, expected, scan
from support.users import open_to_users, run_as_user

import builder.disk.erofs.pack as erofs
from builder.disk.erofs.features import Features, installed_features, is_at_least
from builder.disk.erofs.pack import Erofs
from builder.disk.filesystem import Compression, DiskFacts, DiskOptions, derived_uuid
from builder.errors import DiskTooSmall
from builder.events import ignore
from builder.tool import run_tool
from builder.tree.nodes import Device, Directory, Fifo, File, Symlink
from builder.tree.spool import Spool, open_spool
from builder.tree.tree import Tree

SEED = bytes(range(32))
INSTALLED = installed_features()
Pack = Callable[..., DiskFacts]


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    with open_spool(tmp_path, tails=Erofs.tails) as opened:
        yield opened


@pytest.fixture(params=["tar", "staging"] if INSTALLED.tar else ["staging"])
def pack(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, spool: Spool) -> Pack:
    """Pack a tree into `tmp_path/name`, feeding mkfs.erofs in every way that the installed version knows."""

    def features() -> Features:
        return replace(INSTALLED, tar=request.param == "tar")

    def pack(tree: Tree, name: str = "disk", **options: object) -> DiskFacts:
        scratch = tmp_path / f"{name}.scratch"
        scratch.mkdir()
        chosen = DiskOptions(seed=SEED, **options)  # type: ignore[arg-type]
        Erofs().check(chosen)
        facts = Erofs().pack(tree, spool, chosen, scratch, tmp_path / name, ignore)
        assert not (scratch / "erofs").exists()
        return facts

    monkeypatch.setattr(erofs, "installed_features", features)
    return pack


def file(spool: Spool, data: bytes, **metadata: object) -> File:
    return File(content=spool.keep(data), **metadata)  # type: ignore[arg-type]


def assert_holds(image: Path, tree: Tree, spool: Spool) -> None:
    """The image passes fsck.erofs, and mounted it is the tree."""
    run_tool(["fsck.erofs", image])
    with mounted(image) as directory:
        assert differences(scan(directory), expected(tree, spool)) == []


def digest(path: Path) -> str:
    with path.open("rb") as image:
        return hashlib.file_digest(image, "sha256").hexdigest()


def test_a_tree_with_one_of_everything_passes_fsck(pack: Pack, tmp_path: Path, spool: Spool) -> None:
    tree = everything(spool)
    facts = pack(tree)
    run_tool(["fsck.erofs", tmp_path / "disk"])
    assert facts == DiskFacts(
        format="erofs",
        uuid=derived_uuid(SEED, "erofs"),
        size=(tmp_path / "disk").stat().st_size,
        block_size=4096,
        inodes=len({id(node) for node in tree.nodes()}),
        tools={"mkfs.erofs": INSTALLED.version},
    )


@pytest.mark.root
@pytest.mark.parametrize("compression", sorted(INSTALLED.compressors | {"none"}))
def test_a_tree_with_one_of_everything_mounts_as_it_was(
    pack: Pack, tmp_path: Path, spool: Spool, compression: str
) -> None:
    tree = everything(spool)
    pack(tree, compress=None if compression == "none" else Compression(compression))
    assert_holds(tmp_path / "disk", tree, spool)


@pytest.mark.root
@pytest.mark.skipif(not is_at_least(INSTALLED.version, 1, 6), reason="erofs-utils 1.5 has neither dedupe nor fragments")
@pytest.mark.parametrize("features", [{"dedupe": True}, {"fragments": True}, {"dedupe": True, "fragments": True}])
def test_dedupe_and_fragments_keep_the_tree_and_its_bytes_reproducible(
    pack: Pack, tmp_path: Path, spool: Spool, features: dict[str, bool]
) -> None:
    tree = everything(spool)
    words = [random.Random(0).randbytes(300) for _ in range(20)]
    for number in range(200):
        chosen = random.Random(number)
        data = b"".join(chosen.choice(words) for _ in range(chosen.randrange(200)))
        tree.root.children[b"%d" % number] = file(spool, data)
    for name in ("one", "two"):
        pack(tree, name, compress=Compression("lz4"), **features)
    assert_holds(tmp_path / "one", tree, spool)
    assert digest(tmp_path / "one") == digest(tmp_path / "two")


@pytest.mark.root
@pytest.mark.parametrize("compression", [None, Compression("lz4")])
def test_a_last_block_of_any_length_has_a_place(
    pack: Pack, tmp_path: Path, spool: Spool, compression: Compression | None
) -> None:
    # Around a block less an inode the last block stops fitting behind the inode.
    tree = Tree()
    for size in (1, 64, 3900, *range(4020, 4040, 3), 4095, 4096, 4097, 8128, 8191, 8192, 8193, 12287, 100_000):
        tree.root.children[b"file%d" % size] = file(spool, random.Random(size).randbytes(size))
        tree.root.children[b"link%d" % size] = Symlink(target=b"t" * min(size, 4095))
        names = (b"%0250d" % number for number in range(size // 262))
        tree.root.children[b"dir%d" % size] = Directory(children={name: Fifo() for name in names})
    pack(tree, compress=compression)
    assert_holds(tmp_path / "disk", tree, spool)


@pytest.mark.root
def test_names_that_mkfs_erofs_mistreats_are_kept(pack: Pack, tmp_path: Path, spool: Spool) -> None:
    # mkfs.erofs 1.5 leaves out lost+found…, and holds no 255 bytes; others know .wh. and overlayfs.
    tree = Tree()
    tree.root.children = {
        b"lost+found": Directory(children={b"lost+found.old": file(spool, b"kept"), b"lost+founc": Fifo()}),
        b"lost+foune": file(spool, b""),
        b"n" * 255: file(spool, b"long"),
        b".wh.gone": file(spool, b""),
        b".wh..wh..opq": file(spool, b""),
        b"whiteout": Device(0o000, major=0, minor=0),
        b"opaque": Directory(xattrs={b"trusted.overlay.opaque": b"y", b"user.a=b": b"=\n\0"}),
        b"...": Fifo(),
        b" \n\t\\\"'%*\xff": Fifo(),
    }
    pack(tree)
    assert_holds(tmp_path / "disk", tree, spool)


@pytest.mark.root
def test_extreme_owners_times_devices_and_targets_are_kept(pack: Pack, tmp_path: Path, spool: Spool) -> None:
    tree = Tree(Directory(0o1777, 4294967294, 2097152, -1, {b"user.root": b"", b"trusted.r": b"x" * 300}))
    link = Symlink(uid=65536, mtime_ns=-(1 << 33) * SECOND + 1, target=b"t" * 4095, xattrs={b"trusted.l": b"1"})
    tree.root.children = {
        b"past": file(spool, b"p", mtime_ns=-1_500_000_001, uid=4294967294),
        b"future": file(spool, b"f", mtime_ns=(1 << 40) * SECOND + 999_999_999, gid=4294967294),
        b"link": link,
        b"link2": link,
        b"device": Device(0o640, block=True, major=4095, minor=0xFFFFF),
        b"sign": Device(0o640, major=511, minor=0x80000),
    }
    pack(tree)
    assert_holds(tmp_path / "disk", tree, spool)


@pytest.mark.root
def test_a_path_as_long_as_linux_allows_is_kept(pack: Pack, tmp_path: Path, spool: Spool) -> None:
    tree = Tree()
    directory = tree.root
    for level in range(2047):
        below = Directory(mtime_ns=level)
        directory.children[b"d"] = below
        directory = below
    directory.children[b"f"] = file(spool, b"deep")
    pack(tree)
    # No fsck.erofs: it recurses, and its stack ends before.
    with mounted(tmp_path / "disk") as found:
        assert differences(scan(found), expected(tree, spool)) == []


@pytest.mark.root
@pytest.mark.parametrize("compression", [None, Compression("lz4")])
def test_a_terabyte_of_holes_takes_no_room_and_no_time(
    pack: Pack, tmp_path: Path, spool: Spool, compression: Compression | None
) -> None:
    pieces = [(0, b"head"), ((1 << 40) - 1, b"tail")]
    tree = Tree()
    tree.root.children[b"lastlog"] = File(content=spool.add((1 << 40) + 3, pieces))
    pack(tree, compress=compression)
    assert (tmp_path / "disk").stat().st_blocks * 512 < 1 << 20
    with mounted(tmp_path / "disk") as directory, (directory / "lastlog").open("rb") as found:
        assert found.read(6) == b"head\0\0"
        assert os.pread(found.fileno(), 10, (1 << 40) - 3) == b"\0\0tail"


def test_what_is_a_hole_in_the_spool_has_no_say_in_the_bytes(pack: Pack, tmp_path: Path, spool: Spool) -> None:
    size = 65 << 20
    written = spool.keep(bytes(size))
    hole = spool.add(size, [])
    for name, content in (("written", written), ("hole", hole)):
        tree = Tree()
        tree.root.children[b"f"] = File(content=content)
        pack(tree, name, compress=Compression("lz4"))
        pack(tree, f"plain-{name}")
    assert digest(tmp_path / "written") == digest(tmp_path / "hole")
    assert digest(tmp_path / "plain-written") == digest(tmp_path / "plain-hole")


def test_the_bytes_depend_on_tree_and_options_only(
    pack: Pack, tmp_path: Path, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = everything(spool)
    pack(tree, "one", compress=Compression("lz4"))
    pack(tree, "plain")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    old = os.umask(0o077)
    cpus = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(cpus)})
        pack(everything(spool), "two" * 30, compress=Compression("lz4"))
        pack(everything(spool), "plain" * 30)
    finally:
        os.sched_setaffinity(0, cpus)
        os.umask(old)
    assert digest(tmp_path / "one") == digest(tmp_path / ("two" * 30))
    assert digest(tmp_path / "plain") == digest(tmp_path / ("plain" * 30))


@pytest.mark.root
def test_an_ordinary_user_gets_the_bytes_that_root_gets(tmp_path: Path, spool: Spool) -> None:
    Erofs().pack(everything(spool), spool, DiskOptions(seed=SEED), tmp_path, tmp_path / "disk", ignore)
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    open_to_users(theirs).chmod(0o777)
    printed = run_as_user(
        "import hashlib, pathlib\n"
        "from support.everything import everything\n"
        "from builder.disk.erofs import limits, restore, staging, tar\n"
        "from builder.disk.erofs.pack import Erofs\n"
        "from builder.disk.filesystem import DiskOptions\n"
        "from builder.events import ignore\n"
        "from builder.tree.spool import open_spool\n",
        "place = pathlib.Path(sys.argv[1])\n"
        "with open_spool(place, tails=Erofs.tails) as spool:\n"
        "    options = DiskOptions(seed=bytes(range(32)))\n"
        "    Erofs().pack(everything(spool), spool, options, place, place / 'disk', ignore)\n"
        "print(hashlib.sha256((place / 'disk').read_bytes()).hexdigest())\n",
        theirs,
    )
    assert printed.strip() == digest(tmp_path / "disk")


def test_label_uuid_and_time_stand_in_the_superblock(pack: Pack, tmp_path: Path, spool: Spool) -> None:
    uuid = UUID("01234567-89ab-8def-8123-456789abcdef")
    assert pack(Tree(), label="fünfzehn bytes", uuid=uuid, epoch=1_700_000_000).uuid == uuid
    image = (tmp_path / "disk").read_bytes()
    assert image[1024 + 64 : 1024 + 80] == "fünfzehn bytes".encode() + b"\0"
    assert image[1024 + 48 : 1024 + 64] == uuid.bytes
    # fsck.erofs checks the checksum over all that.
    run_tool(["fsck.erofs", tmp_path / "disk"])
    dumped = subprocess.run(["dump.erofs", "-s", tmp_path / "disk"], check=True, capture_output=True, env={"TZ": "UTC"})
    assert b"Tue Nov 14 22:13:20 2023" in dumped.stdout
    assert str(uuid).encode() in dumped.stdout


def test_a_size_pads_the_image_with_a_hole(pack: Pack, tmp_path: Path, spool: Spool) -> None:
    assert pack(everything(spool), size=1 << 30).size == 1 << 30
    assert (tmp_path / "disk").stat().st_size == 1 << 30
    assert (tmp_path / "disk").stat().st_blocks * 512 < 1 << 20
    run_tool(["fsck.erofs", tmp_path / "disk"])


def test_a_size_too_small_is_refused_with_what_is_needed(pack: Pack, tmp_path: Path, spool: Spool) -> None:
    needed = pack(everything(spool)).size
    with pytest.raises(DiskTooSmall) as caught:
        pack(everything(spool), "small", size=needed - 4096)
    assert (caught.value.asked, caught.value.needed) == (needed - 4096, needed)
    assert pack(everything(spool), "whole", size=needed - 4095).size == needed


def test_holes_stay_holes_and_deleted_content_stays_out(pack: Pack, tmp_path: Path, spool: Spool) -> None:
    spool.keep(b"secret" * 9000)
    tree = Tree()
    tree.root.children[b"holes"] = File(content=spool.add(100 << 20, [(0, b"x")]))
    pack(tree)
    assert (tmp_path / "disk").stat().st_blocks * 512 < 1 << 20
    assert b"secret" not in (tmp_path / "disk").read_bytes()
