"""Spools of any content, what of it is to be where on a disk, and what that disk is then."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from hypothesis import strategies as st

from builder.disk.shift import Move
from builder.exact import write_at
from builder.tree.nodes import Content
from builder.tree.runs import Runs
from builder.tree.spool import Lent, Spool

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
