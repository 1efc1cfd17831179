"""The extended attributes that an inode keeps: all that Linux serves on its kind of file, but none of overlayfs's own.

What is dropped means nothing in a guest, or would mean what it did where the layer was made; each kind is counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from builder.archive import acl
from builder.archive.entry import NO_XATTRS, Entry, Kind
from builder.linux import (
    ACL_DEFAULT,
    ACLS,
    CAPABILITY,
    CAPABILITY_EFFECTIVE,
    CAPABILITY_SIZES,
    MAX_XATTR_NAME,
    MAX_XATTR_NAMES,
    MAX_XATTR_VALUE,
    NAMESPACES,
    OVERLAY_PREFIXES,
    USER,
)
from builder.tree.paths import Refusal
from builder.words import quoted

_FOREIGN = "no file system of Linux keeps it"
_UNSERVED = "Linux does not serve it there"
_OVERLAY = "overlayfs would take it for its own"
_EMPTY = "it is empty, and gives no capability"


@dataclass(slots=True)
class _Dropped:
    name: bytes
    entry: Entry
    count: int = 0


class Xattrs:
    """Judges the extended attributes of one layer's entries. Equal ones become one object, which saves memory."""

    def __init__(self) -> None:
        self._dropped: dict[str, _Dropped] = {}
        self._shared: dict[tuple[tuple[bytes, bytes], ...], Mapping[bytes, bytes]] = {}

    def kept(self, entry: Entry) -> Mapping[bytes, bytes]:
        """Return what the inode of an entry keeps; raises Refusal for what Linux cannot hold."""
        if not entry.xattrs:
            return NO_XATTRS
        key = tuple(entry.xattrs.items())
        kept = {name: value for name, value in key if not self._drops(entry, name, value)}
        for name, value in kept.items():
            _check(name, value)
        if sum(len(name) + 1 for name in kept) > MAX_XATTR_NAMES:
            raise Refusal(f"the names of its extended attributes take more than {MAX_XATTR_NAMES} bytes")
        return self._shared.setdefault(tuple(kept.items()), kept) if kept else NO_XATTRS

    def dropped(self) -> Iterator[str]:
        """Say what was dropped so far: one sentence for each reason, with how often and where first."""
        for reason, first in self._dropped.items():
            where = f"{quoted(first.name)} of {first.entry.kind.value} {quoted(first.entry.path)}"
            others = f" and {first.count - 1} more" if first.count > 1 else ""
            yield f"extended attribute {where}{others} left out: {reason}"

    def _drops(self, entry: Entry, name: bytes, value: bytes) -> bool:
        reason = _reason_to_drop(entry.kind, name, value)
        if reason is None:
            return False
        self._dropped.setdefault(reason, _Dropped(name, entry)).count += 1
        return True


def _reason_to_drop(kind: Kind, name: bytes, value: bytes) -> str | None:
    if name.startswith(OVERLAY_PREFIXES):
        return _OVERLAY
    if name == CAPABILITY and not value:
        # Linux takes it, and gives none afterwards.
        return _EMPTY
    if name in ACLS:
        # posix_acl_xattr_get and posix_acl_xattr_set, fs/posix_acl.c
        served = kind is Kind.DIRECTORY if name == ACL_DEFAULT else kind is not Kind.SYMLINK
    elif name.startswith(NAMESPACES) or not name:
        # xattr_permission, fs/xattr.c
        served = not name.startswith(USER) or kind in (Kind.FILE, Kind.DIRECTORY)
    else:
        return _FOREIGN
    return None if served else _UNSERVED


def _check(name: bytes, value: bytes) -> None:
    if b"\0" in name or len(name) > MAX_XATTR_NAME:
        raise Refusal(f"the name of its extended attribute {quoted(name, 64)} is too long or has a NUL byte")
    if name in NAMESPACES or not name:
        raise Refusal(f"its extended attribute {quoted(name)} is a namespace without a name")
    if len(value) > MAX_XATTR_VALUE:
        raise Refusal(f"its extended attribute {quoted(name)} has more than {MAX_XATTR_VALUE} bytes")
    if name in ACLS and not acl.is_valid(value):
        raise Refusal(f"its extended attribute {quoted(name)} is no access control list that Linux takes")
    if name == CAPABILITY and not _is_capability(value):
        raise Refusal(f"its extended attribute {quoted(name)} is no set of capabilities that Linux takes")


def _is_capability(value: bytes) -> bool:
    """Tell whether Linux serves a value: of revision 2, or of 3, which is for one root (security/commoncap.c)."""
    revision = int.from_bytes(value[:4], "little") & ~CAPABILITY_EFFECTIVE
    return CAPABILITY_SIZES.get(revision) == len(value) and value[20:] != b"\xff" * 4
