"""Bytes of a disk changed at random: what reads such a disk to its end, and who finds what was changed."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from support.places import places

from builder.disk import FILESYSTEMS
from builder.disk.filesystem import HEAD, Filesystem
from builder.disk.judge import DiskFaulty
from builder.disk.reading import DiskMalformed, walk
from builder.errors import BuilderError, ToolFailed
from builder.tree.compare import Comparison
from builder.tree.expected import found_of
from builder.tree.spool import Spool
from builder.tree.tree import Tree

_ODD = (b"\0", b"\xff", b"\x7f", b"\x80", b"\xff\xff", b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff" * 8, b"\0" * 8)
_BLOCK = 1024


def filled(data: bytes) -> list[int]:
    """Where blocks begin that are not all zeros."""
    return [at for at in range(0, len(data), _BLOCK) if data[at : at + _BLOCK].count(0) != _BLOCK]


def without_checksums(format: str, data: bytes) -> bytes:
    """Give a disk that says that it has no checksums: what is changed is then seen by who reads just that."""
    changed = bytearray(data)
    if format == "erofs":
        changed[1024 + 8] &= ~0x01
    else:
        changed[1024 + 0x65] &= ~0x04
    return bytes(changed)


@contextmanager
def flipped(fd: int, data: bytes, chosen: random.Random) -> Iterator[None]:
    """Have some bytes of the file `fd`, which holds `data`, be others for a while."""
    places = filled(data)
    changed: list[tuple[int, int]] = []
    for _ in range(chosen.choice((1, 1, 1, 2, 4, 16))):
        position = chosen.choice(places) + chosen.randrange(_BLOCK)
        new = chosen.choice((*_ODD, chosen.randbytes(1), chosen.randbytes(1), chosen.randbytes(4)))
        if chosen.random() < 0.3:
            # What stands elsewhere, of the same size and meaning.
            other = chosen.choice(places)
            position, new = position // 32 * 32, data[other : other + 32]
        new = new[: len(data) - position]
        os.pwrite(fd, new, position)
        changed.append((position, len(new)))
    try:
        yield
    finally:
        for position, length in changed:
            os.pwrite(fd, data[position : position + length], position)


def exhaust(filesystem: Filesystem, fd: int, most: int) -> None:
    """Read all there is, but not more than `most` bytes of each file; only our errors may end it."""
    with suppress(BuilderError):
        for found in walk(filesystem.reader(fd), 100_000):
            read = 0
            with suppress(BuilderError):
                for _, data in found.inode.data() if found.inode.is_file else ():
                    read += len(data)
                    if read > most:
                        break


@dataclass(frozen=True, slots=True)
class Flip:
    """One changed byte: where, what that is for, and who found it: a checker, the comparison, or the sha256 alone."""

    position: int
    place: str
    finder: str


def flips(
    disk: Path, format: str, tree: Tree, spool: Spool, chosen: random.Random, count: int, wanted: str | None = None
) -> Iterator[Flip]:
    """Change `count` single bytes of a disk of `tree`, one after the other, and see who finds each.

    With `wanted`, only such as are for that.
    """
    fd = os.open(disk, os.O_RDWR)
    try:
        size = os.fstat(fd).st_size
        where = places(FILESYSTEMS[format].reader(fd), fd)
        among = where.spans(wanted, size) if wanted else [(0, size)]
        for _ in range(count):
            position = _position(among, chosen)
            (old,) = os.pread(fd, 1, position)
            os.pwrite(fd, bytes([old ^ chosen.randrange(1, 256)]), position)
            yield Flip(position, where.of(position), finder(disk, format, fd, tree, spool))
            os.pwrite(fd, bytes([old]), position)
    finally:
        os.close(fd)


def kinds(disk: Path, format: str) -> list[str]:
    """Name all that bytes of a disk are for."""
    with disk.open("rb") as file:
        where = places(FILESYSTEMS[format].reader(file.fileno()), file.fileno())
        return where.kinds(disk.stat().st_size)


def _position(among: list[tuple[int, int]], chosen: random.Random) -> int:
    """Choose a byte of some stretches, each as likely as any other."""
    at = chosen.randrange(sum(end - start for start, end in among))
    for start, end in among:
        if at < end - start:
            return start + at
        at -= end - start
    raise AssertionError("a byte behind all stretches was chosen")


def finder(disk: Path, format: str, fd: int, tree: Tree, spool: Spool) -> str:
    """Tell who finds that a disk is not as it was made of a tree, as `rootfs-builder verify` looks for it."""
    filesystem = FILESYSTEMS[format]
    if not filesystem.recognises(os.pread(fd, HEAD, 0)):
        return "no disk any more"
    try:
        filesystem.verify(disk, disk.parent)
    except (DiskFaulty, ToolFailed):
        return "the checker"
    try:
        reader = filesystem.reader(fd)
        comparison = Comparison(holds=reader.holds, has_symlink_modes=True)
        different = next(comparison.differences(walk(reader), found_of(tree, spool)), None)
    except DiskMalformed:
        return "the reader"
    return "the comparison" if different else "sha256 alone"
