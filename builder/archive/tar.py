"""A plain tar stream as entries. libarchive is the parser, a guard in front of it (guard.py) judges what it is given.

libarchive supplies type, mode, owner, time, device numbers, size, holes, content and xattrs. The guard supplies what
libarchive 3.6 and 3.7 get wrong: names and link targets as bytes (libarchive makes NFC of those in pax records, ends
all at a NUL, and forgets a hardlink's target that is only in a pax record), fractions of seconds before 1970, ACLs as
the kernel has them, and the modes that go with them. It also refuses what libarchive takes in silence (headers.py).
What both state is compared, and refused if it can be read in two ways: that costs a microsecond an entry, of thirteen.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any

from builder.archive import acl, libarchive
from builder.archive.entry import BLOCK_DEVICE, CHARACTER_DEVICE, FILE, HARDLINK, NO_XATTRS, TYPE_BITS, Entry
from builder.archive.guard import Guard
from builder.archive.header import Header, Numbers
from builder.archive.sparse import Extent
from builder.errors import MalformedTar
from builder.linux import MODE_BITS
from builder.signals import end_if_told

_NOWHERE = 1 << 64, 1


class TarReader:
    """The members of a plain tar stream, in order: a context manager to iterate over once.

    Raises MalformedTar for what is not a tar, cut off, or can be read in two ways, and lets errors of `chunks` through.
    A stream of no bytes is an empty archive. What follows the archive's end stays in `chunks`, which the caller owns
    and closes.
    """

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._guard = Guard(chunks)
        self._stream = iter(self._guard)
        self._chunk = b""
        self._failure: BaseException | None = None
        self._header: Header | None = None
        self._block = libarchive.Pointer(), ctypes.c_size_t(), ctypes.c_int64()
        self._references = tuple(map(ctypes.byref, self._block))
        self._read = libarchive.READ_CALLBACK(self._next_chunk)
        self._archive: int | None = None

    def __enter__(self) -> TarReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release libarchive's memory; iterating is over then."""
        archive, self._archive = self._archive, None
        if archive is not None:
            libarchive.free(archive)
        self._read = libarchive.READ_CALLBACK()  # the other one holds on to this reader

    def __iter__(self) -> Iterator[Entry]:
        self._chunk = next(self._stream, b"")
        if not self._chunk:
            return
        self._stream = _chain(self._chunk, self._stream)
        self._archive = archive = libarchive.new()
        libarchive.support_tar(archive)
        self._check(libarchive.open_stream(archive, None, libarchive.NO_OPEN, self._read, libarchive.NO_CLOSE))
        pointer = libarchive.Pointer()
        reference = ctypes.byref(pointer)
        while self._check(status := libarchive.next_header(archive, reference)):
            yield self._entry(pointer.value or 0, status)
            if self._archive is None:
                return
        self._header = None
        if self._guard.headers or not self._guard.ended:
            raise MalformedTar(None, "the archive's end can be read in two ways")

    @property
    def headers_size(self) -> int:
        """How many bytes of the tar are headers of the current member, with its extensions and a sparse file's map."""
        return self._header.content - self._header.position if self._header else 0

    def content(self) -> Iterator[tuple[int, memoryview]]:
        """Yield the current file's content, once: where in it each piece begins, and its bytes; holes are left out.

        The pieces come in order, end within `entry.size` bytes, and are gone when the next one is asked for.
        """
        header = self._header
        if header is None or self._archive is None or not header.stored:
            return iter(())
        return self._whole(header, header.stored) if header.extents is None else self._sparse(header, header.extents)

    def _whole(self, header: Header, stored: int) -> Iterator[tuple[int, memoryview]]:
        """Yield content without holes: when all has come that is stored, the next header's position says the rest."""
        buffer, length, start = self._block
        total = 0
        while total < stored and self._has_block():
            size = length.value
            if start.value != total or size > stored - total:
                raise MalformedTar(header.path, "its content can be read in two ways")
            if size:
                yield total, libarchive.view(buffer, size)
                total += size
        if total != stored:
            raise MalformedTar(header.path, "its content can be read in two ways")
        header.stored = 0

    def _sparse(self, header: Header, extents: Iterable[Extent]) -> Iterator[tuple[int, memoryview]]:
        buffer, length, start = self._block
        rest = iter(extents)
        first = end = total = 0
        while self._has_block():
            size, offset = length.value, start.value
            if not size:
                continue
            while offset >= end:
                first, end = next(rest, _NOWHERE)
                end += first
            if offset < first or offset + size > end:
                raise MalformedTar(header.path, "its sparse map can be read in two ways")
            first = offset + size
            total += size
            yield offset, libarchive.view(buffer, size)
        if total != header.stored:
            raise MalformedTar(header.path, "its content can be read in two ways")
        header.stored = 0

    def _has_block(self) -> bool:
        return self._check(libarchive.data_block(self._archive, *self._references))

    def _entry(self, entry: int, status: int) -> Entry:
        if not self._guard.headers:
            raise MalformedTar(None, "it has an entry that can be read in two ways")
        self._header = header = self._guard.headers.popleft()
        if status == libarchive.WARN:
            self._check_warning(header)
        same = libarchive.position(self._archive) == header.position and _numbers(entry, header) == header.numbers
        if not same or not _is_of_kind(entry, header):
            raise MalformedTar(header.path, "it can be read in two ways")
        # What libarchive states, in objects that many headers share.
        mode, uid, gid, mtime_ns, major, minor = header.numbers
        xattrs = _xattrs(entry, header) if header.xattrs or header.acls else NO_XATTRS
        # Positional, in the order of the fields: keywords cost as much again, and this runs for every entry.
        return Entry(header.path, header.kind, mode, uid, gid, mtime_ns, header.size, header.link, major, minor, xattrs)

    def _next_chunk(self, archive: int, context: int, buffer: Any) -> int:
        # An exception in here would be lost: libarchive is told of a failure, and _check raises the exception.
        try:
            # The bytes object must outlive this call: libarchive reads from its memory.
            self._chunk = next(self._stream, b"")
            buffer[0] = ctypes.cast(ctypes.c_char_p(self._chunk), libarchive.Pointer)
        except BaseException as error:
            self._failure = error
            return -1
        return len(self._chunk)

    def _check(self, status: int) -> bool:
        """Return whether there is more; raise what went wrong (a warning is left to the caller)."""
        # A signal's exception that comes as the callback begins or ends is lost, and with it what was to be read.
        end_if_told()
        if self._failure is not None:
            raise self._failure
        if status == libarchive.OK or status == libarchive.WARN:
            return True
        if status == libarchive.EOF:
            return False
        # ARCHIVE_RETRY, a bad checksum, is an invitation to look for the next header: refused like all others.
        raise MalformedTar(self._header.path if self._header else None, libarchive.message(self._archive))

    def _check_warning(self, header: Header) -> None:
        # Harmless: a name cannot be expressed in this process's locale, and names are not taken from libarchive.
        if "can't be converted from" not in libarchive.message(self._archive):
            raise MalformedTar(header.path, libarchive.message(self._archive))


def _numbers(entry: int, header: Header) -> Numbers:
    """Return what libarchive states; from the guard comes what libarchive cannot state."""
    mode, _, _, mtime_ns, major, minor = header.numbers
    if not header.acls:
        mode = libarchive.mode(entry) & MODE_BITS
    if mtime_ns >= 0 or mtime_ns % 10**9 == 0:
        mtime_ns = libarchive.seconds(entry) * 10**9 + libarchive.nanoseconds(entry)
    if header.kind is CHARACTER_DEVICE or header.kind is BLOCK_DEVICE:
        major, minor = libarchive.major(entry), libarchive.minor(entry)
    return mode, libarchive.uid(entry), libarchive.gid(entry), mtime_ns, major, minor


def _is_of_kind(entry: int, header: Header) -> bool:
    if header.kind is HARDLINK:
        # libarchive may take it for a file with content; then it has a size. (Its own word for it is no use: a
        # target that is only in a pax record or a long link, it forgets.)
        return bool(libarchive.size(entry) == 0)
    if libarchive.filetype(entry) != TYPE_BITS[header.kind]:
        return False
    return bool(header.kind is not FILE or libarchive.size(entry) == header.size)


def _xattrs(entry: int, header: Header) -> Mapping[bytes, bytes]:
    for name, value in header.acls.items():
        if name != acl.NFS4 and libarchive.acl_extension(entry, name) != acl.extension(value):
            raise MalformedTar(header.path, "its ACL can be read in two ways")
    stated = list(libarchive.xattrs(entry))
    if bool(stated) != header.xattrs:
        raise MalformedTar(header.path, "its xattrs can be read in two ways")
    xattrs = dict(header.acls)
    for name, value in stated:
        # bsdtar writes each xattr twice, as SCHILY.xattr and as LIBARCHIVE.xattr.
        if xattrs.setdefault(name, value) != value:
            raise MalformedTar(header.path, "it has two values for one xattr")
    return xattrs


def _chain(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest
