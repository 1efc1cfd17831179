"""One member's header block, together with the extensions before it.

Where libarchive and Go's archive/tar (which container tools use) would make different things of the same bytes, the
member is refused: a name in one field that the other does not look at, content that only one of them sees.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from msgspec import Struct

from builder.archive import acl
from builder.archive.block import number, replaced, text
from builder.archive.entry import BLOCK_DEVICE, CHARACTER_DEVICE, DIRECTORY, FILE, HARDLINK, SYMLINK, Kind
from builder.archive.pax import Extensions
from builder.archive.sparse import Extent
from builder.errors import MalformedTar
from builder.linux import ACL_ACCESS, MAX_ID, MAX_MAJOR, MAX_MINOR, MODE_BITS
from builder.words import quoted

# Behind the NUL are two digits of version, which some writers leave out and no reader looks at.
USTAR = b"ustar\x00"
GNU = b"ustar  \x00"

OLD_SPARSE = ord("S")
OLD_FILE = 0

# Typeflag 7 (contiguous) is a regular file to whoever has no contiguous files. All others (GNU's D, M, N and V,
# Solaris' A and X, what nobody has defined) have no meaning in a layer, and readers differ on them.
KINDS = {
    OLD_FILE: Kind.FILE,
    ord("0"): Kind.FILE,
    ord("1"): Kind.HARDLINK,
    ord("2"): Kind.SYMLINK,
    ord("3"): Kind.CHARACTER,
    ord("4"): Kind.BLOCK,
    ord("5"): Kind.DIRECTORY,
    ord("6"): Kind.FIFO,
    ord("7"): Kind.FILE,
    OLD_SPARSE: Kind.FILE,
}
DEVICES = frozenset((ord("3"), ord("4")))
NO_MAP = bytes(110)
NO_DEVICE = frozenset((bytes(16), b"0000000\x00" * 2))

# Mode, owner, group, nanoseconds since the epoch, a device's major and minor number.
Numbers = tuple[int, int, int, int, int, int]


class Header(Struct, gc=False):
    """A member as its headers describe it: positions are byte offsets in the tar.

    `position` is where its first header starts, `content` where its stored content starts, and `stored` how long that
    is: less than `size` for a sparse file, whose map `extents` is. Names, `size` and the numbers are as in Entry;
    `xattrs` says whether there are any, and `acls` are those of pax records, as xattrs.
    """

    position: int
    content: int
    stored: int
    path: bytes
    kind: Kind
    size: int
    link: bytes
    numbers: Numbers
    xattrs: bool
    acls: Mapping[bytes, bytes]
    extents: list[Extent] | None = None


def member_name(block: bytes, said: Extensions) -> bytes:
    """Return the raw name of the member that `block` is the header of."""
    if said.path is not None:
        return said.path
    path = text(block, 0, 100)
    if block[345] and (block[257:263] == USTAR or _is_of_old_go(block)):
        return text(block, 345, 500) + b"/" + path
    return path


def for_libarchive(block: bytes, said: Extensions, stored: int) -> bytes:
    """Return the header block as libarchive reads it rightly, most often as it is.

    The size of what is `stored` stands in it, and not in a pax record. What is no device loses its device numbers:
    libarchive does not recognise a tar that begins with odd ones. A header of old Go becomes one of ustar. What is no
    sparse file loses its map.
    """
    if block[329:345] not in NO_DEVICE and block[156] not in DEVICES:
        block = replaced(block, 329, bytes(16))
    if said.size is not None:
        block = replaced(block, 124, _size(stored))
    if block[257:265] == GNU:
        if block[345] and _is_of_old_go(block):
            return replaced(block, 257, USTAR + b"00")
        if block[156] != OLD_SPARSE and block[386:496] != NO_MAP:
            return replaced(block, 386, NO_MAP)
    return block


def read_header(block: bytes, said: Extensions, path: bytes, position: int, content: int) -> Header:
    """Read the header block of the member `path`; its first header is at `position`, what is stored at `content`."""
    typeflag = block[156]
    kind = KINDS.get(typeflag)
    if kind is None:
        raise MalformedTar(path, f"its type {quoted(bytes([typeflag]))} is unknown")
    _check_format(block, typeflag)
    # A directory without one is the root, to GNU tar and to all that run images.
    if not path and kind is not DIRECTORY:
        raise MalformedTar(path, "it has no name")
    # A sparse file's own name is elsewhere; the one here, GNU tar cuts off anywhere, at a slash as well.
    if kind is FILE and path.endswith(b"/") and not said.sparse:
        # Old tar had no other way to write a directory. With typeflag 0, libarchive sees a directory and Go a file.
        if typeflag != OLD_FILE:
            raise MalformedTar(path, "it is a file, but its name ends in a slash")
        kind = DIRECTORY

    size = number(block, 124, 136, "size")
    stated = size if said.size is None else said.size
    if stated < 0:
        raise MalformedTar(path, "its size is negative")
    if kind is not FILE:
        # A size in the header itself is ignored by all, after a pax size only Go ignores the content. Some write a
        # directory's own size, which is none of content.
        if said.size and kind is not DIRECTORY:
            raise MalformedTar(path, f"it is a {kind.value} with content")
        stated = 0
    link = _link(block, said, path) if kind is SYMLINK or kind is HARDLINK else b""
    if said.uid is None and said.gid is None:
        mode, uid, gid = _mode_and_owner(block[100:124])
    else:
        uid = number(block, 108, 116, "uid") if said.uid is None else said.uid
        gid = number(block, 116, 124, "gid") if said.gid is None else said.gid
        mode, uid, gid = _held(number(block, 100, 108, "mode"), uid, gid)
    if said.acls and ACL_ACCESS in said.acls and kind is not HARDLINK:
        mode = _mode_with_acl(mode, said, path)
    mtime_ns = said.mtime_ns
    if mtime_ns is None:
        mtime_ns = _mtime_ns(block[136:148])
    major = minor = 0
    if kind is CHARACTER_DEVICE or kind is BLOCK_DEVICE:
        major, minor = _device(block, said, path)
    numbers = mode, uid, gid, mtime_ns, major, minor
    # Positional, in the order of the fields: keywords cost as much again, and this runs for every entry.
    return Header(position, content, stated, path, kind, stated, link, numbers, said.xattrs, said.acls)


# Few of them are different, and many headers have the same. Layers of millions of entries are kept in memory: so equal
# numbers are one object, too.
@lru_cache(maxsize=1024)
def _mode_and_owner(fields: bytes) -> tuple[int, int, int]:
    """Read mode, owner and group, which stand side by side in a header block."""
    return _held(number(fields, 0, 8, "mode"), number(fields, 8, 16, "uid"), number(fields, 16, 24, "gid"))


@lru_cache(maxsize=1024)
def _held(mode: int, uid: int, gid: int) -> tuple[int, int, int]:
    """Hold a mode, owner and group against what Linux has; return them, the mode without the type."""
    if not 0 <= uid <= MAX_ID or not 0 <= gid <= MAX_ID:
        raise MalformedTar(None, f"its owner {uid}:{gid} is not within 0 and {MAX_ID}")
    # Some writers put Go's own file mode there, whose type bits are the upper ones of 32; no reader looks at them.
    if not 0 <= mode < 1 << 32:
        raise MalformedTar(None, f"its mode {mode:o} is not a file mode")
    return mode & MODE_BITS, uid, gid


@lru_cache(maxsize=1024)
def _mtime_ns(field: bytes) -> int:
    return number(field, 0, 12, "mtime") * 10**9


def _link(block: bytes, said: Extensions, path: bytes) -> bytes:
    link = text(block, 157, 257) if said.link is None else said.link
    if not link:
        raise MalformedTar(path, "it is a link to nothing")
    return link


def _device(block: bytes, said: Extensions, path: bytes) -> tuple[int, int]:
    """Read a device's major and minor number."""
    major, minor = number(block, 329, 337, "device number"), number(block, 337, 345, "device number")
    if said.device:
        raise MalformedTar(path, "its device number is outside the header")
    if not 0 <= major <= MAX_MAJOR or not 0 <= minor <= MAX_MINOR:
        raise MalformedTar(path, f"its device number {major}, {minor} does not exist on Linux")
    return major, minor


def _mode_with_acl(mode: int, said: Extensions, path: bytes) -> int:
    """Return the mode that goes with an ACL; forget the ACL if it says no more than that, as the kernel does."""
    with_mask, with_group = acl.permission_bits(said.acls[ACL_ACCESS])
    # GNU tar writes the mode that stat(2) shows, with the mask; bsdtar the owning group's own permissions.
    if mode & 0o777 not in (with_mask, with_group):
        raise MalformedTar(path, f"its mode is {mode & 0o777:03o}, but its ACL says {with_mask:03o}")
    if acl.is_minimal(said.acls[ACL_ACCESS]):
        del said.acls[ACL_ACCESS]
    return mode & ~0o777 | with_mask


def _check_format(block: bytes, typeflag: int) -> None:
    magic = block[257:265]
    if magic.startswith(USTAR):
        # star has twelve bytes each of atime and ctime where ustar has the end of its prefix.
        if block[475] and block[508:512] == b"tar\x00":
            raise MalformedTar(None, "its name can be read in two ways, as ustar and as star")
    elif magic == GNU:
        if block[345] and typeflag != OLD_SPARSE and _is_of_old_go(block):
            return
        # libarchive obeys a map whatever the type. What some writers leave behind the place of a first extent is none.
        if typeflag != OLD_SPARSE and block[386]:
            raise MalformedTar(None, "it is no sparse file but has a sparse map")
        number(block, 345, 357, "atime")
        number(block, 357, 369, "ctime")
    elif magic.startswith(b"ustar"):
        raise MalformedTar(None, "it is of an unknown version of ustar")
    elif typeflag in DEVICES:
        raise MalformedTar(None, "it is a device in a tar format that has no device numbers")
    if typeflag == OLD_SPARSE and magic != GNU:
        raise MalformedTar(None, "it is an old GNU sparse file in a tar that is not GNU's")


def _is_of_old_go(block: bytes) -> bool:
    """Tell whether a prefix stands in the place of GNU's own fields, as archive/tar wrote it before Go 1.8.

    Go's reader tells it so, too (golang.org/issue/12594): what is in the place of the times is no time, but ASCII.
    """
    prefix = block[345:500].rstrip(b"\x00")
    if block[257:265] != GNU or block[156] == OLD_SPARSE or b"\x00" in prefix or not prefix.isascii():
        return False
    try:
        number(block, 345, 357, "atime")
        number(block, 357, 369, "ctime")
    except MalformedTar:
        return True
    return False


def _size(stored: int) -> bytes:
    """Write a size in octal, or where it is too large in base-256."""
    return b"%011o\0" % stored if stored < 8**11 else (1 << 95 | stored).to_bytes(12, "big")
