"""Header blocks of a tar that says everything about its members: ustar, pax records, GNU's long names."""

from __future__ import annotations

from builder.archive.block import BLOCK, padded
from builder.archive.entry import Entry, Kind

END = bytes(2 * BLOCK)
TYPEFLAGS = {
    Kind.FILE: b"0",
    Kind.HARDLINK: b"1",
    Kind.SYMLINK: b"2",
    Kind.CHARACTER: b"3",
    Kind.BLOCK: b"4",
    Kind.DIRECTORY: b"5",
    Kind.FIFO: b"6",
}
_USTAR, _GNU = b"ustar\00000", b"ustar  \0"
_NAME = 100


def headers(entry: Entry) -> bytes:
    """Write all headers of a member, of any name and numbers; its content, in whole blocks, comes after them."""
    records = {b"SCHILY.xattr." + name: value for name, value in sorted(entry.xattrs.items())}
    for key, number, digits in ((b"uid", entry.uid, 7), (b"gid", entry.gid, 7), (b"size", entry.size, 11)):
        if not _fits(number, digits):
            records[key] = b"%d" % number
    seconds, fraction = divmod(abs(entry.mtime_ns), 10**9)
    if fraction or not _fits(entry.mtime_ns // 10**9, 11):
        sign = b"-" if entry.mtime_ns < 0 else b""
        records[b"mtime"] = b"%s%d.%09d" % (sign, seconds, fraction)
    blocks = []
    if records:
        body = b"".join(_record(key, value) for key, value in records.items())
        blocks += [_block(Entry(b"PaxHeaders/0", Kind.FILE, size=len(body)), b"x", _USTAR), _filled(body)]
    for text, typeflag in ((entry.link, b"K"), (entry.path, b"L")):
        if len(text) > _NAME:
            name = text + b"\0"
            blocks += [_block(Entry(b"././@LongLink", Kind.FILE, size=len(name)), typeflag, _GNU), _filled(name)]
    return b"".join([*blocks, _block(entry, TYPEFLAGS[entry.kind], _USTAR)])


def _block(entry: Entry, typeflag: bytes, magic: bytes) -> bytes:
    """Write one header block; numbers that do not fit are in pax records and left zero here."""
    numbers = (
        (entry.mode, 7),
        (entry.uid, 7),
        (entry.gid, 7),
        (entry.size, 11),
        (entry.mtime_ns // 10**9, 11),
    )
    fields = [
        entry.path[:_NAME].ljust(_NAME, b"\0"),
        *(_octal(number, digits) for number, digits in numbers),
        b" " * 8,
        typeflag,
        entry.link[:_NAME].ljust(_NAME, b"\0"),
        magic,
        bytes(64),
        _octal(entry.major, 7),
        _octal(entry.minor, 7),
    ]
    block = b"".join(fields).ljust(BLOCK, b"\0")
    return b"%b%06o\0 %b" % (block[:148], sum(block), block[156:])


def _octal(number: int, digits: int) -> bytes:
    return b"%0*o\0" % (digits, number if _fits(number, digits) else 0)


def _fits(number: int, digits: int) -> bool:
    return 0 <= number < 1 << 3 * digits


def _record(key: bytes, value: bytes) -> bytes:
    """Write a pax record, whose length counts its own digits."""
    rest = b" %b=%b\n" % (key, value)
    length = len(rest)
    while length != len(rest) + len(str(length)):
        length = len(rest) + len(str(length))
    return b"%d%b" % (length, rest)


def _filled(body: bytes) -> bytes:
    return body.ljust(padded(len(body)), b"\0")
