"""A kernel unpacked: an emulated processor needs a tenth of a boot to decompress its own."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from builder.archive.raw import decompressed, filter_of

# In bytes; kernels with everything in them take a quarter of it.
MAX_SIZE = 256 << 20

# A bzImage (the kernel's arch/x86/boot.rst): `HdrS` and the version that has the payload's offset and length.
_MAGIC, _VERSION = b"HdrS", 0x208
# ELF: a 64-bit file of a little-endian machine, a segment of notes, and Xen's note that says where PVH starts.
_ELF = b"\x7fELF\2\1"
_PT_NOTE, _PHYS32_ENTRY = 4, 18
# Of all kinds; kernels have a dozen. Thousands of segments may say that all of the file is notes.
_MOST_NOTES = 10_000


def unpacked(kernel: bytes) -> bytes | None:
    """Return the ELF file in a bzImage; None where there is none that QEMU starts as it is, by Xen's PVH.

    Its addresses are those that it was linked for, which who unpacks itself would make random.
    """
    try:
        content = _payload(kernel)
        return content if content and _PHYS32_ENTRY in _xen_notes(content) else None
    # Of what leads out of the file, and of what leads further than anything.
    except (struct.error, OverflowError):
        return None


def _payload(kernel: bytes) -> bytes | None:
    magic, version = struct.unpack_from("<4sH", kernel, 0x202)
    if magic != _MAGIC or version < _VERSION:
        return None
    offset, length = struct.unpack_from("<II", kernel, 0x248)
    start = 512 * ((kernel[0x1F1] or 4) + 1) + offset
    payload = kernel[start : start + length]
    (size,) = struct.unpack_from("<I", payload, len(payload) - 4)
    if len(payload) < length or size > MAX_SIZE:
        return None
    # The size stands behind the stream, but where that ends with it itself.
    return decompressed(payload if filter_of(payload) == "gzip" else payload[:-4], size)


def _xen_notes(elf: bytes) -> Iterator[int]:
    """Yield the types of Xen's notes. Raises struct.error, OverflowError for a file that lies."""
    if not elf.startswith(_ELF):
        return
    (table,) = struct.unpack_from("<Q", elf, 32)
    entry, count = struct.unpack_from("<HH", elf, 54)
    left = _MOST_NOTES
    for number in range(count):
        kind, _, start, _, _, length = struct.unpack_from("<IIQQQQ", elf, table + number * entry)
        at, end = start, start + length
        while kind == _PT_NOTE and at + 12 <= end and left:
            left -= 1
            name_size, size, note = struct.unpack_from("<III", elf, at)
            if elf[at + 12 : at + 16] == b"Xen\0":
                yield note
            at += 12 + (name_size + 3 & ~3) + (size + 3 & ~3)
