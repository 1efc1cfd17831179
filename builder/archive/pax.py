"""The records of a pax extended header, checked and typed (POSIX.1-2017, pax, "pax Extended Header").

libarchive takes odd records in silence: it cuts names at a NUL, reads "uid=x" as root and "-1.5" as half a second
before 1970, and Go's archive/tar, which container tools use, sees other things in them. Here they are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress

from msgspec import Struct, field

from builder.archive import acl
from builder.archive.block import INT64
from builder.errors import MalformedTar
from builder.words import quoted

START = re.compile(rb"([0-9]{1,6}) ([^=\x00]+)=")
DECIMAL = re.compile(rb"[0-9]{1,19}")
TIME = re.compile(rb"(-?)([0-9]{1,19})(?:\.([0-9]*))?")
BASE64 = re.compile(rb"[A-Za-z0-9+/]*={0,2}")

SPARSE = b"GNU.sparse."
SCHILY_XATTR = b"SCHILY.xattr."
LIBARCHIVE_XATTR = b"LIBARCHIVE.xattr."
# GNU tar's --selinux; libarchive gives it as the xattr security.selinux.
SELINUX = b"RHT.security.selinux"

# What these say would change a member, but not every reader obeys them, or not in the same way.
REFUSED = {
    b"SCHILY.realsize": "star's sparse files are not supported",
    b"SUN.holesdata": "Solaris' sparse files are not supported",
    b"GNU.volume.filename": "it is part of an archive of several volumes",
    b"GNU.volume.offset": "it is part of an archive of several volumes",
    b"GNU.volume.size": "it is part of an archive of several volumes",
}
DEVICE_NUMBERS = frozenset((b"SCHILY.devmajor", b"SCHILY.devminor"))

# Records that take the place of a field of the header block, unless their value is empty.
FIELDS = {b"path": "path", b"linkpath": "link", b"size": "size", b"uid": "uid", b"gid": "gid", b"mtime": "mtime_ns"}

# What changes a member. POSIX applies such records of a global header to all members that follow; Docker, containerd,
# and libarchive ignore them. So they are refused there, and what changes nothing is ignored, whoever wrote it.
MEANINGFUL = frozenset((*FIELDS, *REFUSED, *DEVICE_NUMBERS, *acl.XATTRS, acl.NFS4, SELINUX))
MEANINGFUL_PREFIXES = (SCHILY_XATTR, LIBARCHIVE_XATTR, SPARSE)


class Extensions(Struct):
    """What the extension headers in front of a member say of it; None where they are silent.

    `acls` are those of SCHILY.acl records, as xattrs. User and group names, access and change times, and comments are
    left out: a disk has numeric owners, and `hdrcharset` is moot because names stay the bytes that they are. An NFSv4
    ACL, which no file system of Linux keeps, has its record's name.
    `device` says that there is a device's number, which has no place here.
    """

    path: bytes | None = None
    link: bytes | None = None
    size: int | None = None
    uid: int | None = None
    gid: int | None = None
    mtime_ns: int | None = None
    sparse: list[tuple[bytes, bytes]] = field(default_factory=list)
    xattrs: bool = False
    acls: dict[bytes, bytes] = field(default_factory=dict)
    device: bool = False
    extended: bool = False

    def add_records(self, body: bytes) -> bytes:
        """Take the body of a pax header; of repeated records the last one counts.

        Returns the body without what libarchive gets wrong. A record without a value means what the header block says,
        as if it were not there (libarchive reads 0); only an extended attribute may be empty. A size does not make a
        directory's content: it goes to the header block, where all readers ignore it.
        """
        if self.extended:
            raise MalformedTar(None, "it has two pax headers")
        self.extended = True
        path, link = self.path, self.link
        empty = False
        try:
            for key, value in records(body):
                empty = empty or not value
                self._add(key, value)
        except MalformedTar as error:
            # The name may stand behind the record that is to blame.
            raise MalformedTar(error.entry or _path_in(body) or self.path, error.reason) from error
        self.path = self.path or path
        self.link = self.link or link
        # Readers disagree on which of two long names wins, and on what is a name.
        if (path not in (None, self.path)) or (link not in (None, self.link)):
            raise MalformedTar(path, "it has both a GNU and a pax long name")
        if path is not None and self.sparse:
            raise MalformedTar(path, "it has both a GNU long name and a sparse map")
        if not empty and self.size is None and acl.NFS4 not in self.acls:
            return body
        unsaid = {key for key, name in FIELDS.items() if key == b"size" or getattr(self, name) is None}
        unsaid.update(key for key, xattr in acl.XATTRS.items() if xattr not in self.acls)
        return _without(body, unsaid.union(REFUSED, (acl.NFS4,)))

    def add_long_name(self, body: bytes, link: bool) -> None:
        """Take the body of a GNU long name (typeflag L) or long link (K) header."""
        name = body.rstrip(b"\x00")
        if not name or b"\x00" in name:
            raise MalformedTar(name, "a GNU long name is empty or holds a NUL")
        # Some writers state one twice; of two that differ, not all readers take the last.
        if (self.link if link else self.path) not in (None, name) or self.sparse:
            raise MalformedTar(name, "it has two long names")
        if link:
            self.link = name
        else:
            self.path = name

    def _add(self, key: bytes, value: bytes) -> None:
        if key in FIELDS and not value:
            setattr(self, FIELDS[key], None)
        elif (key in acl.XATTRS or key == acl.NFS4) and not value:
            self.acls.pop(acl.XATTRS.get(key, key), None)
        elif key == b"mtime":
            self.mtime_ns = nanoseconds(value)
        elif key == b"path":
            self.path = name(key, value)
        elif key == b"linkpath":
            self.link = name(key, value)
        elif key == b"size":
            self.size = decimal(key, value)
        elif key == b"uid":
            self.uid = decimal(key, value)
        elif key == b"gid":
            self.gid = decimal(key, value)
        elif key.startswith(SCHILY_XATTR):
            self.xattrs = True
            if key == SCHILY_XATTR:
                raise MalformedTar(self.path, "it has an xattr without a name")
        elif key.startswith(LIBARCHIVE_XATTR):
            self.xattrs = True
            if key == LIBARCHIVE_XATTR or b"%00" in key or not BASE64.fullmatch(value):
                raise MalformedTar(self.path, f"its pax record {quoted(key)} is malformed")
        elif key == SELINUX:
            self.xattrs = True
            if b"\x00" in value:
                raise MalformedTar(self.path, f"its pax record {quoted(key)} holds a NUL")
        elif key in acl.XATTRS:
            try:
                self.acls[acl.XATTRS[key]] = acl.encode(value)
            except MalformedTar as error:
                raise MalformedTar(self.path, error.reason) from error
        elif key == acl.NFS4:
            self.acls[key] = value
        elif key.startswith(SPARSE):
            self.sparse.append((key, value))
        elif key in DEVICE_NUMBERS:
            self.device = True
        elif key in REFUSED and value:
            raise MalformedTar(self.path, f"its pax record {quoted(key)} cannot be obeyed: {REFUSED[key]}")


def check_global(body: bytes) -> None:
    """Refuse a global header (typeflag g) that would change the members after it."""
    for key, value in records(body):
        if value and (key in MEANINGFUL or key.startswith(MEANINGFUL_PREFIXES)):
            raise MalformedTar(None, f"a global pax header sets {quoted(key)} for all entries")


def records(body: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Split the body of a pax header into its "length key=value" records; a key holds neither "=" nor NUL."""
    position = 0
    while position < len(body):
        match = START.match(body, position)
        if match is None:
            raise MalformedTar(None, "its pax header has a malformed record")
        end = position + int(match[1])
        value = body[match.end() : end - 1]
        if match.end() > end - 1 or end > len(body) or body[end - 1] != 0x0A:
            raise MalformedTar(None, "its pax header has a record of the wrong length")
        yield match[2], value
        position = end


def _without(body: bytes, keys: set[bytes]) -> bytes:
    """Rename records so that nobody knows them; the body stays as long as it is."""
    renamed = bytearray(body)
    position = 0
    while match := START.match(body, position):
        if match[2] in keys:
            renamed[match.start(2) : match.end(2)] = b"-" * len(match[2])
        position += int(match[1])
    return bytes(renamed)


def _path_in(body: bytes) -> bytes | None:
    """Return what the last path record says that can be read."""
    path = None
    with suppress(MalformedTar):
        for key, value in records(body):
            if key == b"path":
                path = value
    return path


def name(key: bytes, value: bytes) -> bytes:
    """Check a path or a link target."""
    if b"\x00" in value:
        raise MalformedTar(value, f"its pax {key.decode()} holds a NUL")
    return value


def decimal(key: bytes, value: bytes) -> int:
    """Read a count of bytes or an identifier; some writers put zeros in front."""
    digits = value.lstrip(b"0") or value[-1:]
    if not DECIMAL.fullmatch(digits) or int(digits) >= INT64:
        raise MalformedTar(None, f"its pax {key.decode()} is not a number: {quoted(value)}")
    return int(digits)


def nanoseconds(value: bytes) -> int:
    """Read seconds since the epoch, as "-1.5", in nanoseconds; what is finer than that is cut off."""
    match = TIME.fullmatch(value)
    if match is None or int(match[2]) >= INT64:
        raise MalformedTar(None, f"its pax mtime is not a time: {quoted(value)}")
    fraction = (match[3] or b"").ljust(9, b"0")[:9]
    total = int(match[2]) * 10**9 + int(fraction)
    return -total if match[1] else total
