"""The file that holds one layer: its content as a spool has it, its entries, and a trailer that binds both.

    content, whole blocks | head | frame | frame | … | trailer

Head and frames are MessagePack, each behind its length. The trailer has a hash of all that is not content; the head has
the checksums of the content (content.py). What decides how a layer is decoded is in the head: another version of this
program has to make it anew.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from itertools import repeat
from struct import Struct

import msgspec

from builder.archive.entry import NO_XATTRS, Entry, Kind
from builder.decoded.content import Content, Damaged, Outdated, Unkept
from builder.exact import read_at, read_up_to, write_at
from builder.layers.account import Taken
from builder.tree.entries import Entries
from builder.tree.runs import Runs
from builder.version import VERSION
from builder.words import legible

# Counts the forms of this file.
_MAGIC = b"rootfs-builder l1"
_TRAILER = Struct(f"<{len(_MAGIC)}sQQ32s")
_LENGTH = Struct("<I")
_READ_SIZE = 1 << 20

_KINDS = tuple(Kind)
_NUMBER_OF = {kind: number for number, kind in enumerate(_KINDS)}
# As many entries are in memory twice while they are written or read.
_PER_FRAME = 1 << 13


class Head(msgspec.Struct, array_like=True, frozen=True):
    """What is said of a layer as a whole; `blob` names the one packed form for which it holds, if it is not all."""

    builder: str
    diff_id: str
    blob: str
    taken: Taken
    size: int
    runs: bytes
    checks: bytes


class _Frame(msgspec.Struct, array_like=True, frozen=True):
    """Entries, a column for each of their fields; what few have is by place."""

    paths: list[bytes]
    kinds: bytes
    modes: list[int]
    uids: list[int]
    gids: list[int]
    mtimes: list[int]
    sizes: list[int]
    offsets: list[int]
    links: dict[int, bytes]
    devices: dict[int, tuple[int, int]]
    xattrs: dict[int, dict[bytes, bytes]]


_encoder = msgspec.msgpack.Encoder()
_head_decoder = msgspec.msgpack.Decoder(Head)
_frame_decoder = msgspec.msgpack.Decoder(_Frame)


@dataclass(frozen=True, slots=True)
class Decoded:
    """A layer as it is kept, its trailer and its head read."""

    head: Head
    content: Content
    end: int


def write(fd: int, diff_id: str, blob: str, taken: Taken, content: Content, entries: Entries) -> None:
    """Write behind its content, which is in the file already, all else of a layer. Raises Unkept, OSError."""
    runs = array("Q", (block for run in content.runs for block in run))
    head = Head(VERSION, diff_id, blob, taken, content.size, runs.tobytes(), content.checks.tobytes())
    position, hasher = content.size, sha256()
    for part in (head, *_frames(entries)):
        try:
            data = _encoder.encode(part)
        except OverflowError as error:
            # A time beyond 64 bits of nanoseconds.
            raise Unkept from error
        data = _LENGTH.pack(len(data)) + data
        hasher.update(data)
        write_at(fd, data, position)
        position += len(data)
    sizes = content.size, position - content.size
    hasher.update(_TRAILER.pack(_MAGIC, *sizes, b""))
    write_at(fd, _TRAILER.pack(_MAGIC, *sizes, hasher.digest()), position)


def read(fd: int, size: int, diff_id: str) -> Decoded:
    """Read what is said of a layer in a file of `size` bytes. Raises Damaged if that is not so, OSError."""
    trailer = read_up_to(fd, _TRAILER.size, max(0, size - _TRAILER.size))
    if len(trailer) < _TRAILER.size or not trailer.startswith(_MAGIC):
        raise Damaged("it is cut off, or of another version")
    _, content_size, index_size, digest = _TRAILER.unpack(trailer)
    if content_size + index_size + _TRAILER.size != size:
        raise Damaged("it is not as long as it says")
    end, hasher = content_size + index_size, sha256()
    for position in range(content_size, end, _READ_SIZE):
        hasher.update(read_at(fd, min(_READ_SIZE, end - position), position))
    hasher.update(_TRAILER.pack(_MAGIC, content_size, index_size, b""))
    if hasher.digest() != digest:
        raise Damaged("its entries are not what they were")
    # From here on it is what was written; who could write something else could write anything.
    with _unchanged():
        head = _head_decoder.decode(next(_parts(fd, content_size, end)))
        if head.builder != VERSION:
            raise Outdated(f"version {legible(head.builder, 40)} kept it")
        if head.diff_id != diff_id:
            raise Damaged("it is another layer")
        runs, checks = array("Q", head.runs), array("I", head.checks)
        return Decoded(head, Content(content_size, Runs(zip(runs[::2], runs[1::2], strict=True)), checks), end)


def entries(fd: int, decoded: Decoded, offset: int) -> Entries:
    """Read the entries of a layer whose content begins at `offset` of the spool. Raises Damaged, OSError."""
    found = Entries()
    parts = _parts(fd, decoded.content.size, decoded.end)
    with _unchanged():
        next(parts)
        _append(found, parts, offset)
    return found


def _append(found: Entries, parts: Iterator[bytes], offset: int) -> None:
    share: dict[int, int] = {}
    for part in parts:
        frame = _frame_decoder.decode(part)
        count = len(frame.paths)
        links, devices, xattrs = [b""] * count, [(0, 0)] * count, [NO_XATTRS] * count
        for column, few in ((links, frame.links), (devices, frame.devices), (xattrs, frame.xattrs)):
            for place, value in few.items():
                column[place] = value  # type: ignore[assignment]
        members = map(
            Entry,
            frame.paths,
            map(_KINDS.__getitem__, frame.kinds),
            # Layers of millions of entries are kept in memory: equal numbers are one object.
            *(map(share.setdefault, column, column) for column in (frame.modes, frame.uids, frame.gids)),
            frame.mtimes,
            frame.sizes,
            links,
            (major for major, _ in devices),
            (minor for _, minor in devices),
            xattrs,
        )
        found.extend(members, map(sum, zip(frame.offsets, repeat(offset))))


def _frames(entries: Entries) -> Iterator[_Frame]:
    members = list(entries)
    for start in range(0, len(members), _PER_FRAME):
        part = members[start : start + _PER_FRAME]
        numbered = list(enumerate(part))
        yield _Frame(
            [each.path for each in part],
            bytes(_NUMBER_OF[each.kind] for each in part),
            [each.mode for each in part],
            [each.uid for each in part],
            [each.gid for each in part],
            [each.mtime_ns for each in part],
            [each.size for each in part],
            entries.offsets[start : start + _PER_FRAME].tolist(),
            {place: each.link for place, each in numbered if each.link},
            {place: (each.major, each.minor) for place, each in numbered if each.major or each.minor},
            {place: dict(each.xattrs) for place, each in numbered if each.xattrs},
        )


def _parts(fd: int, start: int, end: int) -> Iterator[bytes]:
    while start < end:
        (length,) = _LENGTH.unpack(read_at(fd, _LENGTH.size, start))
        start += _LENGTH.size
        if length > end - start:
            raise ValueError(f"a part of {length} bytes, and {end - start} are left")
        yield read_at(fd, length, start)
        start += length


@contextmanager
def _unchanged() -> Iterator[None]:
    """Raise Damaged where what was right when its hash was taken can no longer be read."""
    try:
        yield
    except (msgspec.DecodeError, LookupError, ValueError, StopIteration) as error:
        raise Damaged("its entries are not what they were a moment ago") from error
