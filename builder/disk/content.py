"""The content of a disk's files gets from the spool to its places.

Where it can, the spool's own file becomes the disk, and content is moved in it without being copied (shift.py); what a
format writes besides, a few MB in a file of its own, is copied in. Else that file is the disk, and content is copied.
The bytes are the same.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Protocol

from builder.disk.shift import Move, add, can_shift, shift
from builder.exact import copy
from builder.files.descriptors import opened, path_of
from builder.files.holes import written_pieces
from builder.tree.nodes import Content
from builder.tree.runs import ALIGNMENT, Runs
from builder.tree.spool import Spool

# How much is copied between two words about the progress, in bytes.
_STEP = 16 << 20

# A stretch of content that is moved takes as long as copying about so many bytes.
_WORTH = 1 << 20

# Told how many bytes have their place.
Progress = Callable[[int], None]


class Disk(Protocol):
    """A disk that is being made: all but its files' content is written to the file `fd`."""

    fd: int

    def fill(self, moves: Sequence[Move], size: int, progress: Progress) -> None:
        """Bring content from the spool to its places, where `fd` has nothing, and make the disk `size` bytes long.

        The moves are whole blocks, in order. This comes last: `fd` may not be the disk, and the spool may have nothing
        afterwards. Raises OSError, as ENOSPC.
        """
        ...


@contextmanager
def begun(output: Path, spool: Spool, contents: Iterable[Content], scratch: Path) -> Iterator[Disk]:
    """Begin a disk at `output`, which does not exist yet, that is to have these contents; `scratch` is for what is not
    in it. Raises OSError.
    """
    if spool.spent and _is_worthwhile(spool, contents) and can_shift(spool.fd) and _is_named(spool.fd, output):
        with TemporaryFile(dir=scratch, buffering=0) as rest:
            yield _Shifted(rest.fileno(), spool)
    else:
        with opened(output, os.O_RDWR | os.O_CREAT | os.O_EXCL) as fd:
            yield _Copied(fd, spool)


def _is_worthwhile(spool: Spool, contents: Iterable[Content]) -> bool:
    """Say whether most of these contents is in the spool's own file, in long stretches, each for itself."""
    runs = Runs()
    end = 0
    for content in sorted(contents, key=lambda content: content.offset):
        if content.offset < end:
            return False
        end = content.offset + content.size
        runs.add(content.offset // ALIGNMENT, -(-end // ALIGNMENT))
    own = lent = 0
    for first, behind in runs:
        for fd, _, length in spool.parts(first * ALIGNMENT, (behind - first) * ALIGNMENT):
            if fd == spool.fd:
                own += length
            else:
                lent += length
    return own >= lent and own >= len(runs) * _WORTH


def _is_named(fd: int, output: Path) -> bool:
    """Give a file that has no name its name, if it can have that one; raises FileExistsError."""
    try:
        with opened(output.parent, os.O_PATH | os.O_DIRECTORY) as directory:
            # The descriptor makes it the call that follows the link in /proc.
            os.link(path_of(fd), output.name, dst_dir_fd=directory, follow_symlinks=True)
    except FileExistsError:
        raise
    except OSError:
        # It is on another file system, for one.
        return False
    return True


class _Copied:
    def __init__(self, fd: int, spool: Spool) -> None:
        self.fd = fd
        self._spool = spool

    def fill(self, moves: Sequence[Move], size: int, progress: Progress) -> None:
        done = 0
        for source, target, length in moves:
            for start in range(0, length, _STEP):
                step = min(length - start, _STEP)
                self._spool.copy_part(source + start, step, self.fd, target + start)
                done += step
                progress(done)
        os.ftruncate(self.fd, size)


class _Shifted:
    def __init__(self, fd: int, spool: Spool) -> None:
        self.fd = fd
        self._spool = spool

    def fill(self, moves: Sequence[Move], size: int, progress: Progress) -> None:
        disk = self._spool.fd
        own: list[Move] = []
        lent: list[tuple[int, Move]] = []
        for source, target, length in moves:
            for fd, start, step in self._spool.parts(source, length):
                if fd == disk:
                    add(own, Move(start, target, step))
                else:
                    lent.append((fd, Move(start, target, step)))
                target += step
        shift(disk, own, size)
        for fd, (source, target, length) in lent:
            copy(fd, source, disk, target, length)
        # A file system may say of holes that they are data: zeros, which must not get to where content is.
        end = 0
        for target, length in [*((move.target, move.length) for move in moves), (size, 0)]:
            for position, step in written_pieces(self.fd, target, end):
                copy(self.fd, position, disk, position, step)
            end = target + length
        progress(sum(move.length for move in moves))
