"""Tar streams through libarchive, and nothing else in this package touches libarchive.

What libarchive 3.6 and 3.7 get wrong is taken from the guard (guard.py) instead: names (in a UTF-8 locale those of pax
records are normalised to NFC, and all end at a NUL), hardlink targets that only a pax record has, and fractions of
seconds before 1970. Both must agree on where each member starts, what it is and how large it is.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from types import TracebackType
from typing import Any

from builder.archive.entry import NO_XATTRS, TYPE_BITS, Entry, Kind
from builder.archive.guard import Guard
from builder.archive.header import Header
from builder.archive.library import ffi
from builder.errors import MalformedTar
from builder.exact import write_at
from builder.signals import end_if_told

Pointer = ctypes.c_void_p
READ_ONLY = 0x100  # PyBUF_READ

_ZEROS = bytes(1 << 20)  # as much as any decompressor hands over at a time


def _working(name: str, result: Any, *arguments: Any) -> Callable[..., Any]:
    """Declare a function that may read the stream: it releases the interpreter lock."""
    # Indexing makes a function object of our own; the attribute of that name is libarchive-c's, with its error checks.
    return _declared(ffi.libarchive["archive_" + name], result, arguments)


def _getting(name: str, result: Any, *arguments: Any) -> Callable[..., Any]:
    """Declare a function that only looks into memory: cheaper than handing the interpreter lock around."""
    return _declared(_library["archive_" + name], result, arguments)


def _declared(function: Any, result: Any, arguments: tuple[Any, ...]) -> Callable[..., Any]:
    function.argtypes, function.restype = arguments, result
    return function  # type: ignore[no-any-return]


_library = ctypes.PyDLL(ffi.libarchive_path)
_new = _getting("read_new", Pointer)
_support_tar = _getting("read_support_format_tar", ctypes.c_int, Pointer)
_open = _working(
    "read_open",
    ctypes.c_int,
    *(Pointer, Pointer, ffi.OPEN_CALLBACK, ffi.READ_CALLBACK, ffi.CLOSE_CALLBACK),
)
_free = _getting("read_free", ctypes.c_int, Pointer)
_next_header = _working("read_next_header", ctypes.c_int, Pointer, ctypes.POINTER(Pointer))
_data_block = _working(
    "read_data_block",
    ctypes.c_int,
    *(Pointer, ctypes.POINTER(Pointer), ctypes.POINTER(ctypes.c_size_t), ctypes.POINTER(ctypes.c_int64)),
)
_error_string = _getting("error_string", ctypes.c_char_p, Pointer)
_position = _getting("read_header_position", ctypes.c_int64, Pointer)
_size = _getting("entry_size", ctypes.c_int64, Pointer)
_filetype = _getting("entry_filetype", ctypes.c_uint, Pointer)
_xattr_reset = _getting("entry_xattr_reset", ctypes.c_int, Pointer)
_xattr_next = _getting(
    "entry_xattr_next",
    ctypes.c_int,
    *(Pointer, *(ctypes.POINTER(kind) for kind in (ctypes.c_char_p, Pointer, ctypes.c_size_t))),
)
_view = ctypes.pythonapi.PyMemoryView_FromMemory
_view.argtypes, _view.restype = (Pointer, ctypes.c_ssize_t, ctypes.c_int), ctypes.py_object


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
        self._read = ffi.READ_CALLBACK(self._next_chunk)
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
            _free(archive)
        self._read = ffi.READ_CALLBACK()  # the other one holds on to this reader

    def __iter__(self) -> Iterator[Entry]:
        self._chunk = next(self._stream, b"")
        if not self._chunk:
            return
        self._stream = _chain(self._chunk, self._stream)
        self._archive = archive = _new()
        _support_tar(archive)
        self._check(_open(archive, None, ffi.NO_OPEN_CB, self._read, ffi.NO_CLOSE_CB))
        pointer = Pointer()
        reference = ctypes.byref(pointer)
        while self._check(status := _next_header(archive, reference)):
            yield self._entry(pointer.value or 0, status)
            if self._archive is None:
                return
        self._header = None
        if self._guard.headers or not self._guard.ended:
            raise MalformedTar(None, "the archive's end can be read in two ways")

    def read_content_into(self, fd: int) -> None:
        """Write the current file's content from the descriptor's position on, leaving out the holes of sparse files.

        The descriptor must be seekable; its position afterwards is undefined. Nothing is written beyond
        `entry.size` bytes; a hole at the end is left to the caller's ftruncate. Raises OSError for failed writes.
        """
        header = self._header
        if header is None or self._archive is None or not header.stored:
            return
        start = os.lseek(fd, 0, os.SEEK_CUR)
        buffer, size, offset = Pointer(), ctypes.c_size_t(), ctypes.c_int64()
        arguments = (self._archive, ctypes.byref(buffer), ctypes.byref(size), ctypes.byref(offset))
        end = total = 0
        while self._check(_data_block(*arguments)):
            # The guard has checked the map: this holds unless libarchive reads another one.
            if offset.value < end or offset.value + size.value > header.entry.size:
                raise MalformedTar(header.entry.path, "its sparse map can be read in two ways")
            end = offset.value + size.value
            total += size.value
            _write(fd, _view(buffer, size.value, READ_ONLY), start + offset.value)
        if total != header.stored:
            raise MalformedTar(header.entry.path, "its content can be read in two ways")
        header.stored = 0

    def _entry(self, pointer: int, status: int) -> Entry:
        if not self._guard.headers:
            raise MalformedTar(None, "it has an entry that can be read in two ways")
        self._header = header = self._guard.headers.popleft()
        entry = header.entry
        if status == ffi.ARCHIVE_WARN:
            self._check_warning(header)
        if entry.kind is Kind.HARDLINK:
            # libarchive may take it for a file with content; then it has a size. (Its own word for it is no use: a
            # target that is only in a pax record or a long link, it forgets.)
            same = _size(pointer) == 0
        elif entry.kind is Kind.FILE:
            same = _filetype(pointer) == TYPE_BITS[Kind.FILE] and _size(pointer) == entry.size
        else:
            same = _filetype(pointer) == TYPE_BITS[entry.kind]
        if not same or _position(self._archive) != header.position:
            raise MalformedTar(entry.path, "it can be read in two ways")
        if not header.xattrs and not header.acls:
            return entry
        return replace(entry, xattrs=self._xattrs(pointer, header))

    def _xattrs(self, pointer: int, header: Header) -> Mapping[bytes, bytes]:
        xattrs = dict(header.acls)
        name, value, size = ctypes.c_char_p(), Pointer(), ctypes.c_size_t()
        _xattr_reset(pointer)
        while not _xattr_next(pointer, ctypes.byref(name), ctypes.byref(value), ctypes.byref(size)):
            content = ctypes.string_at(value, size.value)
            # bsdtar writes each xattr twice, as SCHILY.xattr and as LIBARCHIVE.xattr.
            if xattrs.setdefault(name.value or b"", content) != content:
                raise MalformedTar(header.entry.path, "it has two values for one xattr")
        return xattrs or NO_XATTRS

    def _next_chunk(self, archive: int, context: int, buffer: Any) -> int:
        # An exception in here would be lost: libarchive is told of a failure, and _check raises the exception.
        try:
            # The bytes object must outlive this call: libarchive reads from its memory.
            self._chunk = next(self._stream, b"")
            buffer[0] = ctypes.cast(ctypes.c_char_p(self._chunk), Pointer)
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
        if status in (ffi.ARCHIVE_OK, ffi.ARCHIVE_WARN):
            return True
        if status == ffi.ARCHIVE_EOF:
            return False
        # ARCHIVE_RETRY, a bad checksum, is an invitation to look for the next header: refused like all others.
        raise MalformedTar(self._header.entry.path if self._header else None, self._message())

    def _check_warning(self, header: Header) -> None:
        # Harmless: a name cannot be expressed in this process's locale, and names are not taken from libarchive.
        if "can't be converted from" not in self._message():
            raise MalformedTar(header.entry.path, self._message())

    def _message(self) -> str:
        message: bytes = _error_string(self._archive) or b"libarchive gives no reason"
        return message.decode("utf-8", "backslashreplace")


def _chain(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def _write(fd: int, data: memoryview, position: int) -> None:
    # Nothing but zeros may as well be a hole, which costs a bomb's disk nothing; other data differs at once.
    if data == memoryview(_ZEROS)[: len(data)]:
        return
    write_at(fd, data, position)
