"""Spools of any content, what of it is to be where on a disk, and what that disk is then."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from hypothesis import strategies as st

from builder.disk.content import begun
from builder.disk.shift import Move, can_shift
from builder.exact import write_at
from builder.files.descriptors import opened, path_of
from builder.tree.nodes import Content
from builder.tree.runs import Runs
from builder.tree.spool import Lent, Spool, open_spool

BLOCK = 4096


class Piece(NamedTuple):
    """A content of a spool: how long, where in it a hole begins and ends, whether it is on the disk, and whether it is
    lent; and how many blocks are free in front of it there.
    """

    size: int
    hole: tuple[int, int]
    kept: bool
    lent: bool
    gap: int


@dataclass
class Asked:
    """What is to be on a disk of a spool."""

    contents: list[Content]
    moves: list[Move]
    disk: bytes


sizes = st.one_of(st.integers(1, 3), st.integers(4090, 4100), st.integers(1, 40_000))
pieces = st.lists(
    st.builds(
        Piece,
        sizes,
        st.tuples(st.integers(0, 40_000), st.integers(0, 40_000)),
        st.booleans(),
        st.integers(0, 9).map(lambda number: number == 0),
        st.sampled_from([0, 0, 0, 1, 2, 30]),
    ),
    max_size=25,
)


def data_of(number: int, piece: Piece) -> bytes:
    data = bytearray((b"%03d." % number) * (piece.size // 4 + 1))[: piece.size]
    begin, end = (min(each, piece.size) for each in sorted(piece.hole))
    data[begin:end] = bytes(end - begin)
    return bytes(data)


def asked(spool: Spool, chosen: Sequence[Piece], tails: int = 0) -> Asked:
    """Put content into a spool, decide where it is to be, and say what the disk is then.

    Last blocks of up to `tails` bytes are not moved.
    """
    contents: list[Content] = []
    moves: list[Move] = []
    disk = bytearray()
    for number, piece in enumerate(chosen):
        data = data_of(number, piece)
        if piece.lent:
            fd = os.memfd_create("lent")
            write_at(fd, data, 0)
            blocks = -(-len(data) // BLOCK)
            os.ftruncate(fd, blocks * BLOCK)
            kept = Content(spool.borrow(Lent(fd, len(data), Runs([(0, blocks)]))), len(data))
        else:
            kept = spool.keep(data)
        if not piece.kept:
            continue
        disk += b"metadata".ljust(BLOCK, b"\xff")[: piece.gap * BLOCK].ljust(piece.gap * BLOCK, b"\0")
        body = kept.size - (tail if (tail := kept.size % BLOCK) <= tails else 0)
        if body:
            contents.append(Content(kept.offset, body))
        for source, length in spool.data(Content(kept.offset, body)):
            whole = -(-length // BLOCK) * BLOCK
            moves.append(Move(source, len(disk) + source - kept.offset, whole))
        disk += data.ljust(-(-len(data) // BLOCK) * BLOCK, b"\0")
    return Asked(contents, moves, bytes(disk) + bytes(7 * BLOCK))


MANY = [Piece(9000, (0, 0), number % 3 != 1, False, number % 5) for number in range(60)]


def made(spool: Spool, place: Path, wanted: Asked) -> Path:
    """Make the disk, of which all but content is written beforehand."""
    output = place / "disk"
    with begun(output, spool, wanted.contents, place) as disk:
        ends = [0, *(move.target + move.length for move in wanted.moves)]
        begins = [*(move.target for move in wanted.moves), len(wanted.disk)]
        for end, begin in zip(ends, begins, strict=True):
            if any(wanted.disk[end:begin]):
                write_at(disk.fd, wanted.disk[end:begin].rstrip(b"\0"), end)
        disk.fill(wanted.moves, len(wanted.disk), lambda _done: None)
    return output


def is_moved(spool: Spool, output: Path) -> bool:
    """Tell whether the spool's file has become the disk."""
    return os.path.samestat(os.fstat(spool.fd), output.stat())


def shifts(place: Path) -> bool:
    """Tell whether a file there that has no name can have its parts moved and get one."""
    with open_spool(place) as spool:
        if not can_shift(spool.fd):
            return False
        with suppress(OSError), opened(place, os.O_PATH | os.O_DIRECTORY) as directory:
            os.link(path_of(spool.fd), "named", dst_dir_fd=directory, follow_symlinks=True)
            os.unlink(place / "named")
            return True
    return False
