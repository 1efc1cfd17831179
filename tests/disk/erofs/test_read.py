"""Our reader of erofs finds what the kernel finds, on our disks and on everybody's."""

from __future__ import annotations

import os
import random
import subprocess
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from support.disks import OPTIONS, tree_of
from support.everything import everything
from support.mounts import mounted
from support.populated import populate
from support.readers import read
from support.trees import differences, expected, scan

from builder.disk.erofs.features import installed_features, is_at_least
from builder.disk.erofs.layout import encode_directory, encode_xattrs
from builder.disk.erofs.name_filter import is_hidden, xxh32
from builder.disk.erofs.pack import Erofs
from builder.disk.erofs.read import ErofsReader
from builder.disk.erofs.read_xattrs import PREFIXES, XattrReader
from builder.disk.filesystem import COMPRESSION_LEVELS, Compression, DiskOptions
from builder.disk.reading import DiskMalformed, Volume, walk
from builder.events import ignore
from builder.files.descriptors import opened
from builder.tool import find_tool
from builder.tree.found import Inode
from builder.tree.nodes import Directory, File
from builder.tree.spool import Spool
from builder.tree.tree import Tree


def pack(tree: Tree, spool: Spool, image: Path, options: DiskOptions = OPTIONS) -> None:
    scratch = image.with_suffix(".scratch")
    scratch.mkdir()
    Erofs().pack(tree, spool, options, scratch, image, ignore)


def words(count: int, seed: int = 0) -> bytes:
    """Text that becomes smaller, in parts of different sizes."""
    chosen = random.Random(seed)
    known = [bytes(chosen.choices(range(97, 123), k=chosen.randint(2, 12))) for _ in range(500)]
    return b" ".join(chosen.choice(known) for _ in range(count))


def compressible(spool: Spool) -> Tree:
    """A tree of files that become smaller, some of them alike, some mixed with what does not, and of many sizes."""
    tree = everything(spool)
    noise = random.Random(1)
    texts = [words(60_000), words(60_000)[1000:], words(9_000, 2), b"z" * 1_000_000, words(3), words(800, 3), b""]
    texts += [words(4_000, 4) + noise.randbytes(30_000) + words(4_000, 5), noise.randbytes(20_000), b"\0" * 70_000]
    texts += [words(700 + number, number) for number in range(20)]
    files = {b"%d" % number: File(content=spool.keep(text)) for number, text in enumerate(texts)}
    tree.root.children[b"text"] = Directory(children={**files})
    return tree


def test_everything_that_a_tree_can_hold_is_read(tmp_path: Path, spool: Spool) -> None:
    tree = everything(spool)
    pack(tree, spool, tmp_path / "image")
    assert differences(read("erofs", tmp_path / "image"), expected(tree, spool)) == []


def test_large_directories_are_read(tmp_path: Path, spool: Spool) -> None:
    tree = tree_of(many=Directory(children={b"%05d" % number + b"n" * 200: File() for number in range(2000)}))
    pack(tree, spool, tmp_path / "image")
    assert differences(read("erofs", tmp_path / "image"), expected(tree, spool)) == []


def as_directory(fd: int) -> tuple[ErofsReader, Inode]:
    """Have a disk's `file` be a directory."""
    reader = ErofsReader(Volume.of(fd))
    (number,) = (found.inode.number for found in walk(reader) if found.path == b"file")
    # Its mode stands behind form and attributes.
    os.pwrite(fd, (0o040755).to_bytes(2, "little"), reader.superblock.metadata + number * 32 + 4)
    return reader, reader.inode(number)


NAMES = [f"{number:05}{'name' * (number % 40)}".encode() for number in range(1000)]


def test_a_compressed_directory_is_read_wherever_its_parts_end(tmp_path: Path, spool: Spool) -> None:
    """As mkfs.erofs --zD makes them since 1.9."""
    data = encode_directory((name, number, 1) for number, name in enumerate(NAMES))
    options = replace(OPTIONS, compress=Compression("lz4"))
    # No disk has directories that are larger than it is.
    other = random.Random(3).randbytes(len(data))
    files = {name: File(content=spool.keep(content)) for name, content in (("file", data), ("other", other))}
    pack(tree_of(**files), spool, tmp_path / "image", options)
    with opened(tmp_path / "image", os.O_RDWR) as fd:
        reader, directory = as_directory(fd)
        assert [entry.name for entry in reader.entries(directory)] == NAMES


def test_a_directory_has_no_holes(tmp_path: Path) -> None:
    """mkfs.erofs makes none, and Linux does not read them."""
    (tmp_path / "root").mkdir()
    data = encode_directory((name, number, 1) for number, name in enumerate(NAMES))
    (tmp_path / "root/file").write_bytes(data)
    # No disk has directories that are larger than it is.
    (tmp_path / "root/other").write_bytes(random.Random(3).randbytes(4 * len(data)))
    options = ["--chunksize=4096", "-Eforce-inode-extended"]
    root, image = tmp_path / "root", tmp_path / "image"
    # It copies chunks from a file in /tmp, and 1.5 cannot do so between two file systems.
    with TemporaryDirectory(dir="/tmp") as near:
        made = Path(near) / "image"
        subprocess.run([find_tool("mkfs.erofs"), *options, made, root], check=True, capture_output=True)
        image.write_bytes(made.read_bytes())
    with opened(tmp_path / "image", os.O_RDWR) as fd:
        reader, directory = as_directory(fd)
        assert [entry.name for entry in reader.entries(directory)] == NAMES
        # Behind its fields, the block of each chunk.
        blocks = reader.superblock.metadata + directory.number * 32 + 64
        for chunk in (0, 5, -(-len(data) // 4096) - 1):
            block = os.pread(fd, 4, blocks + 4 * chunk)
            os.pwrite(fd, b"\xff" * 4, blocks + 4 * chunk)
            with pytest.raises(DiskMalformed, match="is a directory with holes"):
                list(reader.entries(directory))
            os.pwrite(fd, block, blocks + 4 * chunk)


def test_holes_of_a_disk_are_not_read_as_zeros(tmp_path: Path, spool: Spool) -> None:
    """A terabyte of them took most of an hour."""
    pieces = [(5 << 30, b"x" * 4096), (9 << 30, b"tail")]
    pack(tree_of(holes=File(content=spool.add(1 << 40, pieces))), spool, tmp_path / "image")
    with opened(tmp_path / "image", os.O_RDONLY) as fd:
        names = {found.path: found.inode for found in walk(Erofs().reader(fd))}
        held = [(start, data.rstrip(b"\0")) for start, data in names[b"holes"].data()]
    assert names[b"holes"].size == 1 << 40
    assert [each for each in held if each[1]] == pieces
    assert len(held) < 100


@pytest.mark.parametrize("algorithm", COMPRESSION_LEVELS)
@pytest.mark.parametrize("more", ["", "dedupe", "fragments"])
def test_what_is_compressed_is_unpacked(tmp_path: Path, spool: Spool, algorithm: str, more: str) -> None:
    features = installed_features()
    if algorithm not in features.compressors or (more and not is_at_least(features.version, 1, 6)):
        pytest.skip(f"mkfs.erofs {features.version} has no {algorithm} {more}")
    tree = compressible(spool)
    chosen = Compression(algorithm)
    options = replace(OPTIONS, compress=chosen, dedupe=more == "dedupe", fragments=more == "fragments")
    pack(tree, spool, tmp_path / "image", options)
    assert differences(read("erofs", tmp_path / "image"), expected(tree, spool)) == []


def test_room_kept_for_attributes_is_none_of_them() -> None:
    one, other = encode_xattrs({b"user.one": b"1"}), encode_xattrs({b"security.other": b"22"})
    reader = XattrReader("inode 1", lambda position, size: bytes(size), 0, ())
    area = one + bytes(8) + other[12:] + bytes(40)
    assert dict(reader.xattrs(area)) == {b"user.one": b"1", b"security.other": b"22"}


def test_a_time_counts_from_when_the_disk_was_made(tmp_path: Path) -> None:
    """As Linux reads inodes of the short form since 6.15; until then it did not look there."""
    root, image = tmp_path / "root", tmp_path / "image"
    root.mkdir()
    options = ["-Eforce-inode-compact", "-T1000", "--all-root"]
    subprocess.run([find_tool("mkfs.erofs"), *options, image, root], check=True, capture_output=True)
    with opened(image, os.O_RDWR) as fd:
        reader = ErofsReader(Volume.of(fd))
        os.pwrite(fd, b"\x07", reader.superblock.metadata + reader.root * 32 + 12)
        assert reader.inode(reader.root).mtime_ns == 1007 * 10**9


@pytest.mark.parametrize(
    ("position", "said"),
    [
        (1024 + 8, "its shared attributes are where nothing is known of them here"),
        # The length of its settings, and the most blocks of a cluster.
        (1024 + 128, "its settings of algorithm 0 are none that Linux takes"),
        (1024 + 133, "its settings of algorithm 0 are none that Linux takes"),
    ],
)
def test_what_linux_does_not_mount_or_reads_elsewhere_is_no_disk(tmp_path: Path, position: int, said: str) -> None:
    root, image = tmp_path / "root", tmp_path / "image"
    root.mkdir()
    (root / "file").write_bytes(b"z" * 20_000)
    options = ["-zlz4hc", "-C65536"]
    subprocess.run([find_tool("mkfs.erofs"), *options, image, root], check=True, capture_output=True)
    with opened(image, os.O_RDWR) as fd:
        assert ErofsReader(Volume.of(fd)).superblock.incompat & 0x2
        # Changed, and without its checksum.
        os.pwrite(fd, bytes([os.pread(fd, 1, 1024 + 8)[0] & ~1]), 1024 + 8)
        os.pwrite(fd, bytes([os.pread(fd, 1, position)[0] ^ 0x8]), position)
        with pytest.raises(DiskMalformed, match=f"^the superblock: {said}$"):
            ErofsReader(Volume.of(fd))


@pytest.mark.parametrize("name", [b"user.in", b"system.posix_acl_access", b"trusted." + b"long" * 20])
def test_an_attribute_that_an_inode_says_it_has_not_is_not_there(name: bytes) -> None:
    """Linux lists it, and does not give it."""
    area = encode_xattrs({name: b"1", b"security.other": b"2"})
    index, prefix = next((index, prefix) for index, prefix in PREFIXES.items() if name.startswith(prefix))
    bit = 1 << xxh32(name.removeprefix(prefix), 0x25BBE08F + index) % 32
    for name_filter, has_filter, there in ((bit, True, False), (~bit & 0xFFFFFFFF, True, True), (bit, False, True)):
        reader = XattrReader("inode 1", lambda position, size: bytes(size), 0, (), has_filter)
        assert (name in dict(reader.xattrs(name_filter.to_bytes(4, "little") + area[4:]))) is there
    # One of which nobody knows how it begins.
    assert not is_hidden(0xFFFFFFFF, b"in", PREFIXES)


@pytest.mark.parametrize(
    ("data", "wanted"),
    [(b"", 0x02CC5D05), (b"abc", 0x32D153FF), (b"Nobody inspects the spammish repetition", 0xE2293B2F)],
)
def test_names_are_hashed_as_xxhash_does(data: bytes, wanted: int) -> None:
    assert xxh32(data, 0) == wanted


FORMS = {
    "as it is": [],
    "compact": ["-Eforce-inode-compact", "-T1000"],
    "compact, timeless": ["-Eforce-inode-compact", "-T1234567890"],
    "no tails": ["-Enoinline_data"],
    "chunks": ["--chunksize=4096"],
    "chunks with indexes": ["--chunksize=65536", "-Eforce-chunk-indexes"],
    "old index": ["-zlz4", "-Elegacy-compress"],
    "lz4": ["-zlz4"],
    "large clusters": ["-zlz4hc", "-C65536"],
    "large clusters, old index": ["-zlz4hc", "-C16384", "-Elegacy-compress"],
    "packed tails": ["-zlz4", "-Eztailpacking"],
    "packed tails of large clusters": ["-zlz4hc", "-C32768", "-Eztailpacking"],
}
# With which version these came.
NEWER = {
    "deflate": (["-zdeflate", "-C65536"], (1, 8)),
    "lzma": (["-zlzma", "-C65536"], (1, 8)),
    "zstd": (["-zzstd", "-C65536"], (1, 8)),
    "two algorithms": (["-zlz4:zstd"], (1, 8)),
    "fragments": (["-zlz4hc", "-Efragments", "-C65536"], (1, 7)),
    "all in fragments": (["-zlz4hc", "-Eall-fragments,dedupe"], (1, 7)),
    "deduplicated": (["-zlz4hc", "-Ededupe"], (1, 7)),
    "long prefixes": (["--xattr-prefix=user.lit", "-x0"], (1, 7)),
    "long prefixes among fragments": (["-zlz4", "-Eall-fragments", "--xattr-prefix=trusted.lar", "-x0"], (1, 7)),
    "small blocks": (["-b1024"], (1, 7)),
    "filters of attributes": (["-Exattr-name-filter"], (1, 8)),
    "room for attributes": (["--root-xattr-isize=300"], (1, 8)),
}


@pytest.mark.root
@pytest.mark.parametrize("form", [*FORMS, *NEWER])
def test_what_others_make_is_read_as_the_kernel_reads_it(tmp_path: Path, form: str) -> None:
    options, since = NEWER.get(form, (FORMS.get(form, []), (1, 0)))
    version = installed_features().version
    if not is_at_least(version, *since):
        pytest.skip(f"mkfs.erofs {version} is older than {since[0]}.{since[1]}")
    root, image = tmp_path / "root", tmp_path / "image"
    root.mkdir()
    populate(root)
    for number in range(5):
        (root / f"words{number}").write_bytes(words(20_000 + number * 1234, number % 3))
    os.setxattr(root / "sub", "user.little", b"value")
    if "compact" in form:
        # Its numbers of users have 16 bits.
        os.chown(root / "small", 7000, 8000)
    subprocess.run([find_tool("mkfs.erofs"), *options, image, root], check=True, capture_output=True)
    try:
        with mounted(image) as there:
            wanted = scan(there)
    except subprocess.CalledProcessError:
        # An older kernel than the tool.
        wanted = scan(root)
    assert differences(read("erofs", image), wanted) == []
