"""A header of rpm's database: an index of tags, and a store of what they are (rpm, "Header format", without magic)."""

from __future__ import annotations

import struct

from builder.packages.package import Package, PackagesUnreadable, licence, package_name, word

_INTRO = struct.Struct(">II")
_ENTRY = struct.Struct(">IIII")
_NUMBER = struct.Struct(">I")
# As rpm itself: no header has more (rpm's lib/header.c).
_MAX_ENTRIES, _MAX_STORE = 0xFFFF, 256 << 20

_NAME, _VERSION, _RELEASE, _EPOCH, _LICENCE, _ARCH, _SOURCE = 1000, 1001, 1002, 1003, 1014, 1022, 1044
_INT32, _STRING = 4, 6
# rpm lists keys that it trusts as packages; no file comes with them.
_KEY = "gpg-pubkey"


def parse_header(blob: bytes, database: str) -> Package | None:
    """Read a package's header; None for a key, which is no package. Raises PackagesUnreadable."""
    try:
        tags = _tags(blob)
    except struct.error as error:
        raise PackagesUnreadable(database, "a header in it is cut off") from error
    except ValueError as error:
        raise PackagesUnreadable(database, f"a header in it {error}") from error
    name = package_name(_text(tags, _NAME), database)
    if name == _KEY:
        return None
    version = word(_text(tags, _VERSION), f"version of {name}", database)
    release = word(_text(tags, _RELEASE), f"release of {name}", database)
    epoch = tags.get(_EPOCH)
    source = _text(tags, _SOURCE)
    architecture = _text(tags, _ARCH)
    return Package(
        "rpm",
        name,
        f"{epoch}:{version}-{release}" if isinstance(epoch, int) else f"{version}-{release}",
        word(architecture, f"architecture of {name}", database) if architecture else "",
        word(source, f"source of {name}", database) if source else "",
        licence(_text(tags, _LICENCE)),
    )


def _text(tags: dict[int, bytes | int], tag: int) -> bytes:
    value = tags.get(tag, b"")
    return value if isinstance(value, bytes) else b""


def _tags(blob: bytes) -> dict[int, bytes | int]:
    """Read the tags that are wanted. Raises struct.error for what is cut off, and ValueError."""
    count, size = _INTRO.unpack_from(blob)
    if count > _MAX_ENTRIES or size > _MAX_STORE:
        raise ValueError("is larger than rpm allows")
    store = _INTRO.size + count * _ENTRY.size
    if store + size > len(blob):
        raise ValueError("is cut off")
    tags: dict[int, bytes | int] = {}
    for tag, kind, offset, number in _ENTRY.iter_unpack(blob[_INTRO.size : store]):
        # Of equal tags the first counts: each might be as long as the header.
        if tag not in (_NAME, _VERSION, _RELEASE, _EPOCH, _LICENCE, _ARCH, _SOURCE) or not number or tag in tags:
            continue
        if kind == _INT32 and offset + _NUMBER.size <= size:
            (tags[tag],) = _NUMBER.unpack_from(blob, store + offset)
        elif kind == _STRING and (end := blob.find(b"\0", store + offset, store + size)) >= 0:
            tags[tag] = blob[store + offset : end]
        else:
            raise ValueError(f"says of tag {tag} what cannot be")
    return tags
