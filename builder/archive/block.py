"""The fields of a tar header block (POSIX.1-2017, pax, "ustar Interchange Format", and GNU's base-256 numbers)."""

from __future__ import annotations

import re
import zlib
from functools import lru_cache

from builder.errors import MalformedTar

BLOCK = 512
ZEROS = bytes(BLOCK)

# A number that libarchive, GNU tar and Go's archive/tar all read alike: libarchive stops at the first odd
# character in silence, and Go trims zeros in front.
OCTAL = re.compile(rb" *([0-7]+)(?:[ \x00]*|\x00.*)|[ \x00]*", re.DOTALL)
INT64 = 1 << 63


def padded(size: int) -> int:
    """Round a size in bytes up to whole blocks."""
    return size + (-size % BLOCK)


def number(block: bytes, start: int, end: int, what: str) -> int:
    """Read the number in `block[start:end]`, in octal or base-256; raises MalformedTar, which says `what` it is."""
    value = _value(block[start:end])
    if value is None:
        raise MalformedTar(None, f"its {what} is not a number")
    return value


# Modes, owners and times repeat from header to header.
@lru_cache(maxsize=4096)
def _value(field: bytes) -> int | None:
    if field[0] & 0x80:
        return _base256(field)
    match = OCTAL.fullmatch(field)
    if match is None:
        return None
    digits = match[1]
    return int(digits, 8) if digits else 0


def _base256(field: bytes) -> int | None:
    """Read a two's complement number of up to 64 bits, whose topmost bit is only the mark of base-256."""
    bits = 8 * len(field) - 1
    value = int.from_bytes(field, "big") & ((1 << bits) - 1)
    if value >> (bits - 1):
        value -= 1 << bits
    return value if -INT64 <= value < INT64 else None


def text(block: bytes, start: int, end: int) -> bytes:
    """Read a name, which ends at the first NUL or at the end of its field."""
    return block[start:end].partition(b"\x00")[0]


def replaced(block: bytes, start: int, value: bytes) -> bytes:
    """Return a header block with `value` at `start`, and the checksum that goes with it."""
    changed = block[:start] + value + block[start + len(value) :]
    total = sum(changed) - sum(changed[148:156]) + 8 * 0x20
    return b"%b%06o\0 %b" % (changed[:148], total, changed[156:])


def check_checksum(block: bytes) -> None:
    """Refuse a header block whose checksum, over unsigned or (as old systems did) signed bytes, is wrong."""
    # The low half of Adler-32 is one plus the sum of the bytes, modulo 65521, which half a block cannot reach:
    # eight times as fast as sum().
    total = (zlib.adler32(block[:256]) & 0xFFFF) + (zlib.adler32(block[256:]) & 0xFFFF) - 2
    stated = _stated_total(block[148:156])
    if total != stated:
        signed = total - 256 * sum(byte > 127 for byte in block[:148] + block[156:])
        if signed != stated:
            raise MalformedTar(None, "its header checksum is wrong")


# Checksums repeat, too.
@lru_cache(maxsize=4096)
def _stated_total(field: bytes) -> int:
    """Say what the bytes of a block come to if its checksum, in which spaces stand for this field, is right."""
    return number(field, 0, 8, "header checksum") - 8 * 0x20 + sum(field)
