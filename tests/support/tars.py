"""Tar streams made by hand, byte by byte, so that a test can say exactly what is in them.

    tar(directory("etc"), file("etc/hosts", b"127.0.0.1\n", mode=0o600), hardlink("etc/h", "etc/hosts"))

Every member function returns the member's bytes: whole 512-byte blocks, extension headers first. What ustar
cannot say (a long name, a large uid, a fraction of a second, an xattr) goes into pax records by itself.
`raw` and `header` make what no tar program would: every field may be given as verbatim bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Name = str | bytes
Records = Mapping[str, Name]

BLOCK = 512
END = bytes(2 * BLOCK)
USTAR = b"ustar\x0000"
GNU = b"ustar  \x00"
V7 = bytes(8)


def tar(*members: bytes, end: bytes = END) -> bytes:
    """Put members together; `end` is the end-of-archive marker."""
    return b"".join(members) + end


def file(path: Name, data: bytes = b"", *, mode: int = 0o644, **header: object) -> bytes:
    """Make a regular file; other keywords as for `member`."""
    return member(path, b"0", data, mode=mode, **header)  # type: ignore[arg-type]


def directory(path: Name, *, mode: int = 0o755, **header: object) -> bytes:
    """Make a directory; its name ends in a slash, as tar programs write it."""
    name = raw_name(path)
    return member(name if name.endswith(b"/") else name + b"/", b"5", mode=mode, **header)  # type: ignore[arg-type]


def symlink(path: Name, target: Name, *, mode: int = 0o777, **header: object) -> bytes:
    """Make a symlink."""
    return member(path, b"2", link=target, mode=mode, **header)  # type: ignore[arg-type]


def hardlink(path: Name, target: Name, *, mode: int = 0o644, **header: object) -> bytes:
    """Make a hardlink to another member of this or a lower layer."""
    return member(path, b"1", link=target, mode=mode, **header)  # type: ignore[arg-type]


def fifo(path: Name, *, mode: int = 0o644, **header: object) -> bytes:
    """Make a named pipe."""
    return member(path, b"6", mode=mode, **header)  # type: ignore[arg-type]


def character(path: Name, major: int, minor: int, *, mode: int = 0o644, **header: object) -> bytes:
    """Make a character device; 0, 0 is what overlay file systems call a whiteout."""
    return member(path, b"3", mode=mode, major=major, minor=minor, **header)  # type: ignore[arg-type]


def block(path: Name, major: int, minor: int, *, mode: int = 0o644, **header: object) -> bytes:
    """Make a block device."""
    return member(path, b"4", mode=mode, major=major, minor=minor, **header)  # type: ignore[arg-type]


def whiteout(path: Name) -> bytes:
    """Make the marker that hides `path` of lower layers (image-spec, layer.md, "Whiteouts")."""
    parent, slash, name = raw_name(path).rpartition(b"/")
    return file(parent + slash + b".wh." + name)


def opaque(path: Name) -> bytes:
    """Make the marker that hides all that lower layers have in the directory `path` ("" for the root)."""
    name = raw_name(path)
    return file((name.rstrip(b"/") + b"/" if name else b"") + b".wh..wh..opq")


def member(
    path: Name,
    typeflag: bytes,
    data: bytes = b"",
    *,
    link: Name = b"",
    mode: int = 0o644,
    uid: int = 0,
    gid: int = 0,
    mtime: int | str = 0,
    major: int = 0,
    minor: int = 0,
    xattrs: Mapping[Name, bytes] | None = None,
    pax: Records | None = None,
) -> bytes:
    """Make any member; `mtime` as text ("-1.5") goes verbatim into a pax record, `pax` adds records to it."""
    name, target = raw_name(path), raw_name(link)
    records: dict[str, Name] = {}
    if len(name) > 100 or not name.isascii():
        records["path"] = name
    if len(target) > 100 or not target.isascii():
        records["linkpath"] = target
    for key, number in (("uid", uid), ("gid", gid)):
        if not 0 <= number < 8**7:
            records[key] = str(number)
    if isinstance(mtime, str) or not 0 <= mtime < 8**11:
        records["mtime"] = str(mtime)
    if len(data) >= 8**11:
        records["size"] = str(len(data))
    records.update(pax or {})
    block = header(
        name[:100],
        typeflag,
        size=0 if "size" in records else len(data),
        link=target[:100],
        mode=mode,
        uid=0 if "uid" in records else uid,
        gid=0 if "gid" in records else gid,
        mtime=0 if "mtime" in records else int(mtime),
        major=major,
        minor=minor,
    )
    # SCHILY.xattr values are binary, so they are added as raw records: a Records value is bytes already.
    attributes = {b"SCHILY.xattr." + raw_name(key): value for key, value in (xattrs or {}).items()}
    body = pax_body(records) + b"".join(pax_record(key, value) for key, value in attributes.items())
    return (pax_header(body) if body else b"") + block + padded(data)


def header(
    path: bytes,
    typeflag: bytes = b"0",
    *,
    size: int | bytes = 0,
    link: bytes = b"",
    mode: int | bytes = 0o644,
    uid: int | bytes = 0,
    gid: int | bytes = 0,
    mtime: int | bytes = 0,
    major: int | bytes = 0,
    minor: int | bytes = 0,
    magic: bytes = USTAR,
    uname: bytes = b"",
    gname: bytes = b"",
    prefix: bytes = b"",
    checksum: bytes | None = None,
) -> bytes:
    """Make one header block: numbers become octal, bytes stay as they are, the checksum is right unless
    given.

    `prefix` is what follows the device numbers: 155 bytes of path in ustar, GNU's own fields in GNU.
    """
    fields = (
        (path, 100),
        (number(mode, 8), 8),
        (number(uid, 8), 8),
        (number(gid, 8), 8),
        (number(size, 12), 12),
        (number(mtime, 12), 12),
        (b" " * 8, 8),
        (typeflag, 1),
        (link, 100),
        (magic, 8),
        (uname, 32),
        (gname, 32),
        (number(major, 8) if magic != V7 else b"", 8),
        (number(minor, 8) if magic != V7 else b"", 8),
        (prefix, 167),
    )
    return sealed(b"".join(exactly(value, width) for value, width in fields), checksum)


def sealed(block: bytes, checksum: bytes | None = None) -> bytes:
    """Put the right checksum (or the one given) into a header block."""
    blank = block[:148] + b" " * 8 + block[156:]
    right = b"%06o\x00 " % sum(blank)
    return blank[:148] + exactly(right if checksum is None else checksum, 8) + blank[156:]


def raw(path: Name, typeflag: bytes, data: bytes = b"", **fields: object) -> bytes:
    """Make a member whose header fields are given as for `header`, without any pax header."""
    fields.setdefault("size", len(data))
    return header(raw_name(path), typeflag, **fields) + padded(data)  # type: ignore[arg-type]


def pax(records: Records | bytes, *, typeflag: bytes = b"x", path: bytes = b"PaxHeaders/x") -> bytes:
    """Make a pax header of its own (typeflag b"g": a global one) from records, or from a verbatim body."""
    body = records if isinstance(records, bytes) else pax_body(records)
    return pax_header(body, typeflag=typeflag, path=path)


def pax_header(body: bytes, *, typeflag: bytes = b"x", path: bytes = b"PaxHeaders/x") -> bytes:
    """Make a pax header with this body."""
    return header(path, typeflag, size=len(body)) + padded(body)


def pax_body(records: Records) -> bytes:
    """Make the body of a pax header."""
    return b"".join(pax_record(key.encode(), raw_name(value)) for key, value in records.items())


def pax_record(key: bytes, value: bytes) -> bytes:
    """Make one "length key=value" record, whose length counts its own digits."""
    rest = b" " + key + b"=" + value + b"\n"
    length = len(rest)
    while length != len(rest) + len(str(length)):
        length = len(rest) + len(str(length))
    return b"%d%b" % (length, rest)


def gnu_long(name: Name, typeflag: bytes = b"L") -> bytes:
    """Make a GNU long name (b"L") or long link (b"K") header; the member that it is for comes next."""
    body = raw_name(name) + b"\x00"
    return header(b"././@LongLink", typeflag, size=len(body), magic=GNU) + padded(body)


Extent = tuple[int, bytes]


def sparse_old(path: Name, extents: Sequence[Extent], size: int, **fields: object) -> bytes:
    """Make a sparse file as old GNU tar writes it (typeflag S): extents are (offset, data)."""
    numbers = [(number(offset, 12) + number(len(data), 12)) for offset, data in extents]
    data = b"".join(data for _, data in extents)
    more = numbers[4:]
    continued = b"\x01" if more else b"\x00"
    prefix = bytes(41) + exactly(b"".join(numbers[:4]), 96) + continued + number(size, 12)
    fields.setdefault("size", len(data))
    blocks = [header(raw_name(path), b"S", magic=GNU, prefix=prefix, **fields)]  # type: ignore[arg-type]
    while more:
        now, more = more[:21], more[21:]
        blocks.append(exactly(b"".join(now), 504) + (b"\x01" if more else b"\x00") + bytes(7))
    return b"".join(blocks) + padded(data)


def sparse_pax(path: Name, extents: Sequence[Extent], size: int, version: str, **header: object) -> bytes:
    """Make a sparse file in pax format `version`: "0.0", "0.1" or "1.0"."""
    name, data = raw_name(path), b"".join(data for _, data in extents)
    if version == "0.0":
        records = {"GNU.sparse.size": str(size), "GNU.sparse.numblocks": str(len(extents))}
        body = pax_body(records)
        for offset, part in extents:
            body += pax_body({"GNU.sparse.offset": str(offset), "GNU.sparse.numbytes": str(len(part))})
        return pax_header(body) + file(name, data, **header)  # type: ignore[arg-type]
    if version == "0.1":
        pairs = ",".join(f"{offset},{len(part)}" for offset, part in extents)
        records = {
            "GNU.sparse.size": str(size),
            "GNU.sparse.numblocks": str(len(extents)),
            "GNU.sparse.map": pairs,
            "GNU.sparse.name": name.decode(),
        }
        return file(b"GNUSparseFile.0/x", data, pax=records, **header)  # type: ignore[arg-type]
    numbers = [len(extents)] + [n for offset, part in extents for n in (offset, len(part))]
    sparse_map = padded("".join(f"{n}\n" for n in numbers).encode())
    marks: dict[str, Name] = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}
    marks |= {"GNU.sparse.name": name, "GNU.sparse.realsize": str(size)}
    return file(b"GNUSparseFile.0/x", sparse_map + data, pax=marks, **header)  # type: ignore[arg-type]


def number(value: int | bytes, width: int) -> bytes:
    """Write a header number: octal, or base-256 (GNU, star) where octal cannot say it."""
    if isinstance(value, bytes):
        return value
    if 0 <= value < 8 ** (width - 1):
        return b"%0*o\x00" % (width - 1, value)
    return base256(value, width)


def base256(value: int, width: int) -> bytes:
    """Write a header number in base-256, whether or not octal would do."""
    coded = bytearray(value.to_bytes(width, "big", signed=True))
    coded[0] |= 0x80
    return bytes(coded)


def padded(data: bytes) -> bytes:
    """Fill up with zeros to whole blocks."""
    return data + bytes(-len(data) % BLOCK)


def exactly(value: bytes, width: int) -> bytes:
    """Fill a field up with zeros, and refuse to cut it."""
    if len(value) > width:
        raise ValueError(f"{value!r} does not fit into {width} bytes")
    return value.ljust(width, b"\x00")


def raw_name(name: Name) -> bytes:
    """Encode a name given as text."""
    return name if isinstance(name, bytes) else name.encode("utf-8", "surrogateescape")
