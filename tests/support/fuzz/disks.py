"""Disks, what is compressed on them, and what boots from them."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import cache
from pathlib import Path

from support.disks import OPTIONS, tree_of
from support.everything import everything
from support.flips import exhaust, without_checksums
from support.fuzz.harness import Harness
from support.fuzz.mutate import of_bytes, of_structures, of_text
from support.fuzz.target import Target, refused

from builder.actions.verify import _own
from builder.disk import FILESYSTEMS
from builder.disk.check_verity import hash_faults
from builder.disk.description import describe
from builder.disk.erofs import lz4
from builder.disk.erofs.decompress import unpacked
from builder.disk.erofs.features import installed_features
from builder.disk.erofs.read_superblock import Superblock
from builder.disk.filesystem import HEAD, Compression
from builder.disk.reading import Volume, walk
from builder.disk.verity import Verity
from builder.events import ignore
from builder.guest.description import Description
from builder.tool import find_tool
from builder.tree.compare import Comparison
from builder.tree.expected import found_of
from builder.tree.nodes import Directory, File, Node
from builder.tree.spool import Spool, open_spool
from builder.tree.tree import Tree

# In bytes.
_BLOCK = 1024


def many(spool: Spool) -> Tree:
    """A directory of so many names that it has an index, and a file of several extents."""
    children: dict[bytes, Node] = {b"%03d" % number + b"n" * 200: File() for number in range(100)}
    return tree_of(many=Directory(children=children), link=File())


def thin(data: bytes) -> bytes:
    """Leave out of a disk what is zeros: blocks that are not, their numbers, and how many there are with the others."""
    count = len(data) // _BLOCK
    filled = [number for number in range(count) if data.count(0, number * _BLOCK, number * _BLOCK + _BLOCK) != _BLOCK]
    blocks = b"".join(data[number * _BLOCK : number * _BLOCK + _BLOCK] for number in filled)
    return blocks + struct.pack(f"<{len(filled)}HH", *filled, count)


def thick(data: bytes) -> int:
    """Open a file in memory that holds what was thinned."""
    fd = os.memfd_create("disk")
    count = max(0, len(data) - 2) // (_BLOCK + 2)
    numbers = data[count * _BLOCK :].ljust(count * 2 + 2, b"\0")
    for at in range(count):
        os.pwrite(
            fd,
            data[at * _BLOCK : at * _BLOCK + _BLOCK],
            int.from_bytes(numbers[at * 2 : at * 2 + 2], "little") * _BLOCK,
        )
    os.ftruncate(fd, int.from_bytes(numbers[count * 2 : count * 2 + 2], "little") * _BLOCK)
    return fd


def disks(format: str) -> Callable[[], list[bytes]]:
    """Make disks of a format, thin and without checksums: what is changed is then seen by who reads just that."""

    def seeds() -> list[bytes]:
        found = []
        options = [OPTIONS]
        if format == "erofs":
            names = sorted(installed_features().compressors)
            options += [replace(OPTIONS, compress=Compression(name)) for name in names]
        for number, (tree, chosen) in enumerate([(many, OPTIONS), *((everything, each) for each in options)]):
            place = Path(f"{format}{number}")
            place.mkdir()
            with open_spool(place) as spool:
                FILESYSTEMS[format].pack(tree(spool), spool, chosen, place, place / "disk", ignore)
            found.append(thin(without_checksums(format, (place / "disk").read_bytes())))
            if format == "erofs" and tree is everything and chosen is OPTIONS:
                found.append(thin(filtered((place / "disk").read_bytes())))
            if format == "ext4" and tree is many:
                found.append(thin((place / "disk").read_bytes()))
            shutil.rmtree(place)
        return found + [thin(data) for data in foreign(format)]

    return seeds


def filtered(data: bytes) -> bytes:
    """Have an inode of an erofs say that it lacks half of all attributes, which stands before those that it has."""
    disk = bytearray(without_checksums("erofs", data))
    disk[1024 + 8] |= 0x4
    at = disk.index(b"\x07\x04\x03\0on.link") - 12
    disk[at : at + 4] = b"\xff\xff\0\0"
    return bytes(disk)


def foreign(format: str) -> Iterator[bytes]:
    """Make disks as others have them: with checksums, of older kinds, and of structures that ours have not."""
    Path("root/d").mkdir(parents=True)
    for number in range(40):
        Path(f"root/d/{number:02}{'n' * 100}").write_bytes(b"%d " % number * 20_000 if number < 2 else b"short")
    for number, words in enumerate(FOREIGN[format]):
        place = Path(f"foreign{number}")
        if format == "ext4":
            argv = [find_tool("mke2fs"), "-q", "-F", *words, "-b", "1024", "-d", "root", str(place), "2M"]
        else:
            argv = [find_tool("mkfs.erofs"), *words, str(place), "root"]
        # Some releases have not all of it.
        if subprocess.run(argv, capture_output=True, check=False).returncode == 0:
            yield place.read_bytes()
    shutil.rmtree("root")


FOREIGN = {
    "ext4": (["-t", "ext4"], ["-t", "ext3", "-I", "128"], ["-t", "ext4", "-O", "inline_data,^metadata_csum"]),
    "erofs": (["-zlz4", "-Elegacy-compress"], ["--chunksize=4096"], ["-zlz4", "-Eztailpacking,fragments"]),
}


def disk(format: str) -> Callable[[bytes], None]:
    def run(data: bytes) -> None:
        filesystem = FILESYSTEMS[format]
        fd = thick(data)
        try:
            head = os.pread(fd, HEAD, 0)
            filesystem.recognises(head)
            describe(format, head)
            exhaust(filesystem, fd, 1 << 20)
        finally:
            os.close(fd)

    return run


def compared(format: str) -> Callable[[bytes], None]:
    """Hold a disk against the tree that it was made of, as `rootfs-builder verify` does."""

    def run(data: bytes) -> None:
        tree, spool = expected()
        filesystem = FILESYSTEMS[format]
        fd = thick(data)
        try:
            reader = filesystem.reader(fd)
            own = frozenset(_own(reader)) - tree.root.children.keys()
            comparison = Comparison(reader.holds, own, has_holes=filesystem.keeps_holes, has_symlink_modes=True)
            for difference in comparison.differences(walk(reader, 100_000), found_of(tree, spool)):
                assert str(difference).isprintable()
        finally:
            os.close(fd)

    return run


@cache
def expected() -> tuple[Tree, Spool]:
    """Make a tree, in a spool that stays there."""
    spool = HELD.enter_context(open_spool(Path.cwd()))
    return everything(spool), spool


def of_everything(format: str) -> Callable[[], list[bytes]]:
    """Make the disk that is equal; others are what changes make of it."""

    def seeds() -> list[bytes]:
        place = Path(f"{format}-compared")
        place.mkdir()
        tree, spool = expected()
        FILESYSTEMS[format].pack(tree, spool, OPTIONS, place, place / "disk", ignore)
        return [thin(without_checksums(format, (place / "disk").read_bytes()))]

    return seeds


def verity(data: bytes) -> None:
    """Check a hash tree against the 33 blocks before it."""
    fd = os.memfd_create("disk")
    try:
        os.pwrite(fd, data, 0)
        said = Verity(root_hash="0" * 64, salt="1" * 64, hash_offset=33 * 4096, data_blocks=33)
        for _ in hash_faults(Volume(fd, len(data)), said):
            pass
    finally:
        os.close(fd)


def compressed(data: bytes) -> None:
    """Decompress as each algorithm of erofs; the first byte says how much is asked for, the second which dictionary."""
    length, dictionary, packed = 16 * (data + b"\0")[0], (data + b"\0\0")[1] << 16, data[2:]
    for algorithm in range(8):
        with refused():
            unpacked(replace(SUPERBLOCK, lzma_dictionary=dictionary), "disk", packed, algorithm, 4000, length)
    try:
        slowly = lz4.decompress_slowly(packed, length)
    except lz4.Corrupt:
        return
    # What both take, both take for the same.
    with refused(lz4.Corrupt):
        assert lz4.decompress(packed, length) == slowly


SUPERBLOCK = Superblock(12, 1, 0, 0, 0, 1, 0, 0, 0, 4096)


def lz4_blocks() -> list[bytes]:
    # A literal, then a match of 40 bytes one byte back, then literals.
    return [
        b"\x04\0\x1fa\x01\x00\x15\x50bcdef",
        b"\x01\0\xf0\x01" + b"x" * 16,
        b"\x10\0" + zlib.compress(b"a" * 300)[2:-4],
    ]


@cache
def harness() -> Harness:
    return Harness()


# Until the end of the process.
HELD = ExitStack()
SHELL = Description(entrypoint=("sh", "-c", "a b"), env=("A=1", "PATH=/bin"), uid=7, gid=8, groups=(1, 2))

TARGETS = {
    "ext4": Target(disk("ext4"), disks("ext4"), of_structures),
    "erofs": Target(disk("erofs"), disks("erofs"), of_structures),
    "verify-ext4": Target(compared("ext4"), of_everything("ext4"), of_structures),
    "verify-erofs": Target(compared("erofs"), of_everything("erofs"), of_structures),
    "verity": Target(
        verity, lambda: [bytes(33 * 4096) + (b"verity\0\0" + struct.pack("<II", 1, 1)).ljust(8192, b"\0")]
    ),
    "decompress": Target(compressed, lz4_blocks),
    "init-description": Target(
        lambda data: harness().give(b"d", data), lambda: [SHELL.encode(), Description().encode()], of_bytes
    ),
    "init-options": Target(
        lambda data: harness().give(b"o", data),
        lambda: [b'root=/dev/vda rb.ip=10.0.2.15/24 rb.env="A=1 2" rb.x=%41%zz quiet\n', b"rb.x\0rb.x=1\0"],
        of_text,
    ),
}
