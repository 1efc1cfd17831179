"""Parts of one file are moved to other places in it without being copied: the file system renumbers its blocks.

fallocate(2) with FALLOC_FL_INSERT_RANGE and FALLOC_FL_COLLAPSE_RANGE, as ext4 and XFS have them. The first call has the
system write to the drive all that is behind its place, and each takes about 0.1 ms from then on, whatever is moved.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from builder.exact import collapse, insert, punch

# What is moved begins and ends on boundaries of so many bytes.
BLOCK = 4096

# What the kernel answers where a file system has no way to do so, or only in larger blocks.
_CANNOT = frozenset({errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS, errno.EPERM, errno.ENODEV, errno.EFBIG})


class Move(NamedTuple):
    """`length` bytes from `source` on have their place at `target`."""

    source: int
    target: int
    length: int


def add(moves: list[Move], source: int, target: int, length: int) -> None:
    """Append a move, or make the last one longer where this goes on where it ends, in both places."""
    if moves:
        before = moves[-1]
        if source == before.source + before.length and target == before.target + before.length:
            moves[-1] = Move(before.source, before.target, before.length + length)
            return
    moves.append(Move(source, target, length))


def can_shift(fd: int) -> bool:
    """Try whether the file system can move parts of the file `fd`, behind its end: what is in it stays as it is."""
    size = os.fstat(fd).st_size
    end = -(-size // BLOCK) * BLOCK
    try:
        # Of three blocks that nobody has written, the last one is moved, and back again.
        os.ftruncate(fd, end + 3 * BLOCK)
        punch(fd, end, BLOCK)
        insert(fd, end + BLOCK, BLOCK)
        collapse(fd, end + BLOCK, BLOCK)
    except OSError as error:
        if error.errno not in _CANNOT:
            raise
        return False
    finally:
        os.ftruncate(fd, size)
    return True


def shift(fd: int, moves: Sequence[Move], size: int) -> None:
    """Move parts of the file `fd`, whole blocks, to their places; all else is holes then, and it is `size` bytes long.

    Both sources and targets are in order and do not overlap, and it is known that the file system can do so. Raises
    OSError, and the file is of no use any more then.
    """
    begin = Move(0, 0, 0)
    # First, so that blocks which are no content are never written to the drive.
    for before, move in pairwise([begin, *moves]):
        end = before.source + before.length
        punch(fd, end, move.source - end)
    last = moves[-1] if moves else begin
    os.ftruncate(fd, last.source + last.length)
    for before, move in pairwise([begin, *moves]):
        # All that is in front of this has its place already.
        end = before.target + before.length
        there, wanted = move.source - before.source - before.length, move.target - end
        insert(fd, end, wanted - there) if wanted > there else collapse(fd, end, there - wanted)
    os.ftruncate(fd, size)
