"""The content of a disk's files gets from the spool to its places.

Where it can, the spool's own file becomes the disk, and content is moved in it without being copied (shift.py); what a
format writes besides, a few MB in a file of its own, is copied in. Else that file is the disk, and content is copied.
The bytes are the same.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from operator import attrgetter
from pathlib import Path
from tempfile import TemporaryFile
from typing import Protocol

from builder.disk.early import written_early
from builder.disk.filesystem import rounded_up
from builder.disk.shift import BLOCK, Move, add, can_shift, shift
from builder.exact import copy, start_writing
from builder.files.descriptors import opened, path_of
from builder.files.holes import written_pieces
from builder.tree.nodes import Content
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
def begun(
    output: Path, spool: Spool, contents: Sequence[Content], scratch: Path, read: Sequence[Content] = ()
) -> Iterator[Disk]:
    """Begin a disk at `output`, which does not exist yet, to which these contents are to be moved.

    A spool that is spent keeps these, and what else is to be `read`, until then, and may lose everything else now. What
    is not in the disk goes to `scratch`. Raises OSError.
    """
    if spool.spent and _is_worthwhile(spool, contents) and can_shift(spool.fd) and _is_named(spool.fd, output):
        held = list(_held(spool, [*contents, *read]))
        with TemporaryFile(dir=scratch, buffering=0) as rest, written_early(spool.fd, held) as settle:
            yield _Shifted(rest.fileno(), spool, settle)
    else:
        with opened(output, os.O_RDWR | os.O_CREAT | os.O_EXCL) as fd:
            yield _Copied(fd, spool)


def _is_worthwhile(spool: Spool, contents: Sequence[Content]) -> bool:
    """Say whether moving pays: most of these contents are in the spool's own file, in long runs, and share no block.

    A move takes the longer the more there are: between 100,000 holes of a file, they would go on for minutes.
    """
    if sum(rounded_up(each.size) for each in contents) > sum(end - begin for begin, end in _stretches(contents)):
        return False
    runs = own = 0
    for begin, end in _held(spool, contents):
        for first, behind in spool.runs.between(begin // BLOCK, end // BLOCK):
            runs, own = runs + 1, own + (behind - first) * BLOCK
    return own > 0 and own >= spool.lent and own >= runs * _WORTH


def _parts(spool: Spool, moves: Iterable[Move]) -> Iterator[tuple[int, Move]]:
    """Yield (file, what is to be moved from there), in order, joined where that goes; an image may have any number."""

    def each() -> Iterator[tuple[int, Move]]:
        for _, (source, target, length) in _joined((0, move) for move in moves):
            for fd, start, step in spool.parts(source, length):
                yield fd, Move(start, target, step)
                target += step

    return _joined(each())


def _joined(parts: Iterable[tuple[int, Move]]) -> Iterator[tuple[int, Move]]:
    """Join each part with the one before it where it continues that one, in its file and on the disk."""
    found: list[Move] = []
    last = -1
    for fd, move in parts:
        if found and (fd != last or not _goes_on(found[0], move)):
            yield last, found.pop()
        last = fd
        add(found, *move)
    for move in found:
        yield last, move


def _goes_on(before: Move, move: Move) -> bool:
    return (before.source + before.length, before.target + before.length) == move[:2]


def _held(spool: Spool, contents: Iterable[Content]) -> Iterator[tuple[int, int]]:
    """Say where in the spool's own file these contents are, and nothing else: (begin, end), in order."""
    own = spool.own_position
    return _touching((own(begin), own(end)) for begin, end in _stretches(contents))


def _stretches(contents: Iterable[Content]) -> Iterator[tuple[int, int]]:
    """Say where in the spool these contents are, in whole blocks: (begin, end), in order."""
    ordered = sorted(contents, key=attrgetter("offset"))
    return _touching((each.offset, each.offset + rounded_up(each.size)) for each in ordered)


def _touching(stretches: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Join stretches that touch or overlap, and leave out empty ones."""
    first = last = 0
    for begin, end in stretches:
        if begin > last:
            if first < last:
                yield first, last
            first = begin
        last = max(last, end)
    if first < last:
        yield first, last


def _is_named(fd: int, output: Path) -> bool:
    """Give a file that has no name its name, if it can have that one; raises FileExistsError.

    One from another directory may be another group's, or have another label, than what is made where it would go.
    """
    try:
        with opened(output, os.O_RDONLY | os.O_CREAT | os.O_EXCL, 0o600) as new:
            alike = _belonging(new) == _belonging(fd)
        os.unlink(output)
        if not alike:
            return False
        with opened(output.parent, os.O_PATH | os.O_DIRECTORY) as directory:
            # The descriptor makes it the call that follows the link in /proc.
            os.link(path_of(fd), output.name, dst_dir_fd=directory, follow_symlinks=True)
    except FileExistsError:
        raise
    except OSError:
        # As where it is on another file system.
        return False
    return True


def _belonging(fd: int) -> tuple[int, dict[str, bytes]]:
    """Say to which group a new file belongs, and what access lists and labels it has."""
    with suppress(OSError):
        return os.fstat(fd).st_gid, {name: os.getxattr(fd, name) for name in os.listxattr(fd)}
    return os.fstat(fd).st_gid, {}


class _Copied:
    def __init__(self, fd: int, spool: Spool) -> None:
        self.fd = fd
        self._spool = spool

    def fill(self, moves: Sequence[Move], size: int, progress: Progress) -> None:
        done = asked = first = 0
        for fd, (source, target, length) in _parts(self._spool, moves):
            for start in range(0, length, _STEP):
                step = min(length - start, _STEP)
                copy(fd, source + start, self.fd, target + start, step)
                done += step
                progress(done)
                if done - asked >= _STEP:
                    # On its way to the drive while the rest is copied: all of it is to be synced. One by one, 30,000
                    # short stretches took eight times as long as without.
                    end = target + start + step
                    start_writing(self.fd, first, end - first)
                    asked, first = done, end
        os.ftruncate(self.fd, size)


class _Shifted:
    def __init__(self, fd: int, spool: Spool, settle: Callable[[], None]) -> None:
        self.fd = fd
        self._spool = spool
        self._settle = settle

    def fill(self, moves: Sequence[Move], size: int, progress: Progress) -> None:
        disk = self._spool.fd
        self._settle()
        parts = list(_parts(self._spool, moves))
        shift(disk, [part for fd, part in parts if fd == disk], size)
        for fd, (source, target, length) in parts:
            if fd != disk:
                copy(fd, source, disk, target, length)
        # A file system may say of holes that they are data: zeros, which must not get to where content is.
        end = 0
        for target, length in [*((move.target, move.length) for move in moves), (size, 0)]:
            for position, step in written_pieces(self.fd, target, end):
                copy(self.fd, position, disk, position, step)
            end = target + length
        progress(sum(move.length for move in moves))
