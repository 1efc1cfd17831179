"""What an entry of an unpacked layer stands for: overlay's own marks turned into an image's (Linux, overlayfs.rst).

Overlay keeps its marks in xattrs of the namespace `trusted`, or `user` where it is mounted without privileges.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass

from builder.archive.entry import TYPE_BITS, Kind
from builder.containers_storage.handles import Handle, reading
from builder.containers_storage.records import IdRange, LayerRecord
from builder.errors import UnsupportedImage
from builder.linux import MAX_MAJOR, MAX_MINOR, MODE_BITS, OVERLAY_PREFIXES
from builder.words import quoted

KINDS = {bits: kind for kind, bits in TYPE_BITS.items()}
# Of overlay: marks that are read here, and notes that concern only a mounted overlay.
_NOTES = frozenset(
    (b"opaque", b"whiteout", b"whiteouts", b"origin", b"impure", b"nlink", b"upper", b"uuid", b"protattr")
)
# Owner, mode and type of an entry that the store could not, or should not, give them (storage.conf's force_mask).
_OVERRIDE = b"user.containers.override_stat"
_OVERRIDDEN = re.compile(
    rb"(\d{1,10}):(\d{1,10}):([0-7]{1,7})(?::(file|dir|symlink|pipe|(?:block|char)-(\d{1,4})-(\d{1,7})))?"
)
_OVERRIDDEN_KINDS = {
    b"file": Kind.FILE,
    b"dir": Kind.DIRECTORY,
    b"symlink": Kind.SYMLINK,
    b"pipe": Kind.FIFO,
    b"block": Kind.BLOCK,
    b"char": Kind.CHARACTER,
}
# The host's label of the store, not the image's.
_LABEL = b"security.selinux"


@dataclass(frozen=True, slots=True)
class Facts:
    """What an entry is to its layer; None for `kind` means a whiteout. Units as in Entry."""

    kind: Kind | None
    mode: int
    uid: int
    gid: int
    major: int
    minor: int
    opaque: bool
    xattrs: dict[bytes, bytes]


def read_facts(parent: Handle, name: bytes, status: os.stat_result, layer: LayerRecord) -> Facts | None:
    """Tell what an entry stands for; None for a socket, which no tar can hold.

    Raises UnsupportedImage for an entry whose content is elsewhere, or that cannot be told from what it says.
    """
    kind = KINDS.get(stat.S_IFMT(status.st_mode))
    if kind is None:
        return None
    where = parent.path(name)
    xattrs = _read_xattrs(parent, name)
    marks = _take_marks(xattrs, where)
    mode, uid, gid = status.st_mode & MODE_BITS, status.st_uid, status.st_gid
    uid, gid = _inside(uid, layer.uid_map), _inside(gid, layer.gid_map)
    major, minor = os.major(status.st_rdev), os.minor(status.st_rdev)
    if (kind is Kind.CHARACTER and (major, minor) == (0, 0)) or (kind is Kind.FILE and b"whiteout" in marks):
        return Facts(None, mode, uid, gid, 0, 0, False, {})
    override = xattrs.pop(_OVERRIDE, None)
    if override is not None:
        stated = _OVERRIDDEN.fullmatch(override)
        if stated is None:
            raise _malformed(where, override)
        uid, gid, mode = int(stated[1]), int(stated[2]), int(stated[3], 8) & MODE_BITS
        meant = _OVERRIDDEN_KINDS[stated[4].partition(b"-")[0]] if stated[4] else kind
        major, minor = int(stated[5] or 0), int(stated[6] or 0)
        # Only an empty file can stand in for something else: content would be lost.
        stands_in = kind is Kind.FILE and not status.st_size and meant in (Kind.FIFO, Kind.BLOCK, Kind.CHARACTER)
        if (meant is not kind and not stands_in) or major > MAX_MAJOR or minor > MAX_MINOR:
            raise _malformed(where, override)
        kind = meant
    return Facts(kind, mode, uid, gid, major, minor, marks.get(b"opaque") == b"y", xattrs)


def _malformed(where: str, override: bytes) -> UnsupportedImage:
    return UnsupportedImage(where, f"its xattr {_OVERRIDE.decode()} is malformed: {quoted(override)}")


def _read_xattrs(parent: Handle, name: bytes) -> dict[bytes, bytes]:
    # As listxattrat(2), if there were one, would do: the same handle, and one name in it, which is not followed.
    path = b"/proc/self/fd/%d/%b" % (parent.fd, name)
    with reading(parent.path(name)):
        names = [os.fsencode(each) for each in os.listxattr(path, follow_symlinks=False)]
        return {each: os.getxattr(path, each, follow_symlinks=False) for each in names if each != _LABEL}


def _take_marks(xattrs: dict[bytes, bytes], where: str) -> dict[bytes, bytes]:
    """Take overlay's own xattrs out of an entry's; raises UnsupportedImage for those that move its content."""
    marks: dict[bytes, bytes] = {}
    for name in [name for name in xattrs if name.startswith(OVERLAY_PREFIXES)]:
        mark = name.split(b".", 2)[2]
        if mark not in _NOTES:
            reason = f"has the xattr {quoted(name)}, so its content is elsewhere; copy the image out first"
            raise UnsupportedImage(where, f"{reason}, as with podman save")
        marks[mark] = xattrs.pop(name)
    return marks


def _inside(host: int, ranges: list[IdRange] | None) -> int:
    """Turn the owner of a file into the one that the image means."""
    for each in ranges or ():
        if each.host_id <= host < each.host_id + each.size:
            return each.container_id + host - each.host_id
    return host
