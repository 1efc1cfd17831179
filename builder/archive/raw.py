"""A single compressed stream, of whatever compression a kernel may have: libarchive knows more than layers need."""

from __future__ import annotations

import ctypes

from builder.archive import libarchive

_FILTERS = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\x5d\0\0": "lzma",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x02\x21\x4c\x18": "lz4",
}


def filter_of(data: bytes) -> str | None:
    """Name the compression that a stream begins like."""
    return next((name for magic, name in _FILTERS.items() if data.startswith(magic)), None)


def decompressed(data: bytes, size: int) -> bytes | None:
    """Return the `size` bytes that a compressed stream holds; None where it holds another number, or cannot be read."""
    name = filter_of(data)
    archive = libarchive.new()
    try:
        if name is None or not libarchive.support_filter(archive, name) or libarchive.support_raw(archive):
            return None
        entry = libarchive.Pointer()
        if libarchive.open_memory(archive, data, len(data)) or libarchive.next_header(archive, ctypes.byref(entry)):
            return None
        # One byte more tells a longer one.
        buffer = ctypes.create_string_buffer(size + 1)
        got, used = 1, 0
        while got > 0 and used <= size:
            got = libarchive.read_data(archive, ctypes.byref(buffer, used), size + 1 - used)
            used += max(got, 0)
        return buffer.raw[:size] if got == 0 and used == size else None
    finally:
        libarchive.free(archive)
