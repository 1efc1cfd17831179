"""libarchive's functions, as far as tar needs them.

An `archive` or an `entry` is the address of libarchive's own; an entry is dead when the next header is read.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from typing import Any

from builder.archive.library import ffi
from builder.linux import ACL_ACCESS, ACL_DEFAULT, ACL_GROUP, ACL_MASK, ACL_USER, NO_ID

Pointer = ctypes.c_void_p
OK, WARN, EOF = ffi.ARCHIVE_OK, ffi.ARCHIVE_WARN, ffi.ARCHIVE_EOF
READ_CALLBACK, NO_OPEN, NO_CLOSE = ffi.READ_CALLBACK, ffi.NO_OPEN_CB, ffi.NO_CLOSE_CB

_READ_ONLY = 0x100  # PyBUF_READ
# archive_entry.h: which list an entry of an ACL belongs to, and what it is for. The other three are in the mode.
_ACL_LISTS = {ACL_ACCESS: 0x100, ACL_DEFAULT: 0x200}
_ACL_TAGS = {10001: ACL_USER, 10003: ACL_GROUP, 10005: ACL_MASK}


def _function(name: str, result: Any, *arguments: Any) -> Callable[..., Any]:
    """Declare a function. It keeps the interpreter lock: all of them only look into memory, or ask for more of it.

    Handing the lock around at each call took longer than the calls, and other threads wait for it where they would.
    """
    # Indexing makes a function object of our own; the attribute of that name is libarchive-c's, with its error checks.
    function = _library["archive_" + name]
    function.argtypes, function.restype = arguments, result
    return function


def _to(kind: Any) -> Any:
    return ctypes.POINTER(kind)


_library = ctypes.PyDLL(ffi.libarchive_path)
new = _function("read_new", Pointer)
support_tar = _function("read_support_format_tar", ctypes.c_int, Pointer)
open_stream = _function(
    "read_open",
    ctypes.c_int,
    *(Pointer, Pointer, ffi.OPEN_CALLBACK, ffi.READ_CALLBACK, ffi.CLOSE_CALLBACK),
)
free = _function("read_free", ctypes.c_int, Pointer)
next_header = _function("read_next_header", ctypes.c_int, Pointer, _to(Pointer))
data_block = _function(
    "read_data_block", ctypes.c_int, Pointer, _to(Pointer), _to(ctypes.c_size_t), _to(ctypes.c_int64)
)
position = _function("read_header_position", ctypes.c_int64, Pointer)
size = _function("entry_size", ctypes.c_int64, Pointer)
filetype = _function("entry_filetype", ctypes.c_uint, Pointer)
mode = _function("entry_mode", ctypes.c_uint, Pointer)
uid = _function("entry_uid", ctypes.c_int64, Pointer)
gid = _function("entry_gid", ctypes.c_int64, Pointer)
seconds = _function("entry_mtime", ctypes.c_int64, Pointer)
nanoseconds = _function("entry_mtime_nsec", ctypes.c_long, Pointer)
major = _function("entry_rdevmajor", ctypes.c_uint64, Pointer)
minor = _function("entry_rdevminor", ctypes.c_uint64, Pointer)

_error_string = _function("error_string", ctypes.c_char_p, Pointer)
_xattr_reset = _function("entry_xattr_reset", ctypes.c_int, Pointer)
_xattr_next = _function(
    "entry_xattr_next", ctypes.c_int, Pointer, _to(ctypes.c_char_p), _to(Pointer), _to(ctypes.c_size_t)
)
_acl_reset = _function("entry_acl_reset", ctypes.c_int, Pointer, ctypes.c_int)
_acl_next = _function(
    "entry_acl_next", ctypes.c_int, Pointer, ctypes.c_int, *[_to(ctypes.c_int)] * 4, _to(ctypes.c_char_p)
)
_view = ctypes.pythonapi.PyMemoryView_FromMemory
_view.argtypes, _view.restype = (Pointer, ctypes.c_ssize_t, ctypes.c_int), ctypes.py_object


def message(archive: int | None) -> str:
    """Return what libarchive says of its last failure."""
    text: bytes = _error_string(archive) or b"libarchive gives no reason"
    return text.decode("utf-8", "backslashreplace")


def view(address: Any, length: int) -> memoryview:
    """Look at bytes of libarchive's, which are there until it reads on."""
    return _view(address, length, _READ_ONLY)  # type: ignore[no-any-return]


def xattrs(entry: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield the names and values of an entry's extended attributes, as often as the archive has them."""
    name, value, length = ctypes.c_char_p(), Pointer(), ctypes.c_size_t()
    _xattr_reset(entry)
    while not _xattr_next(entry, ctypes.byref(name), ctypes.byref(value), ctypes.byref(length)):
        yield name.value or b"", ctypes.string_at(value, length.value)


def acl_extension(entry: int, xattr: bytes) -> set[tuple[int, int, int]]:
    """Return the entries (tag, permissions, id) of the ACL that an xattr holds, as `acl.extension` does."""
    which, found = _ACL_LISTS[xattr], set()
    kind, permissions, tag, qualifier = (ctypes.c_int() for _ in range(4))
    facts = [ctypes.byref(fact) for fact in (kind, permissions, tag, qualifier)]
    name = ctypes.c_char_p()
    _acl_reset(entry, which)
    while _acl_next(entry, which, *facts, ctypes.byref(name)) == OK:
        if tag.value in _ACL_TAGS:
            found.add((_ACL_TAGS[tag.value], permissions.value & 7, qualifier.value & NO_ID))
    return found
