"""POSIX ACLs as star, GNU tar and bsdtar write them, as text in pax records, turned into what the kernel keeps.

The text is acl(5)'s long form, one entry after another with commas or newlines between them; star and bsdtar add a
fourth field with the number behind a name. The other form is that of the xattrs system.posix_acl_access and _default
(include/uapi/linux/posix_acl_xattr.h), which is how everything else of this package knows ACLs.
"""

from __future__ import annotations

import re
import struct

from builder.errors import MalformedTar
from builder.linux import (
    ACL_ACCESS,
    ACL_DEFAULT,
    ACL_GROUP,
    ACL_MASK,
    ACL_NAMED,
    ACL_OTHER,
    ACL_OWNER,
    ACL_OWNING_GROUP,
    ACL_USER,
    MAX_ID,
    NO_ID,
)
from builder.words import quoted

# The pax records that hold ACLs, and the xattr that says the same.
XATTRS = {
    b"SCHILY.acl.access": ACL_ACCESS,
    b"SCHILY.acl.default": ACL_DEFAULT,
}

# What bsdtar writes on macOS and FreeBSD: an NFSv4 ACL, which is no xattr of Linux and says nothing of the mode.
NFS4 = b"SCHILY.acl.ace"

VERSION = struct.pack("<I", 2)
ENTRY = struct.Struct("<HHI")

TAGS = {
    (b"user", False): ACL_OWNER,
    (b"user", True): ACL_USER,
    (b"group", False): ACL_OWNING_GROUP,
    (b"group", True): ACL_GROUP,
    (b"mask", False): ACL_MASK,
    (b"other", False): ACL_OTHER,
}
WORDS = re.compile(rb"(user|group|mask|other):([^:]*):([r-])([w-])([x-])(?::([0-9]{1,10}))?")

# Names repeat from member to member; an ACL has about as many entries as a person cares to write.
MAX_ENTRIES = 1024


def encode(text: bytes) -> bytes:
    """Return an ACL as the xattr's value.

    Raises MalformedTar for what the kernel would not take, and for a name without a number: whose it is only the
    machine knows that wrote it.
    """
    entries: dict[tuple[int, int], int] = {}
    for words in filter(None, re.split(rb"[,\n]", text)):
        key, permissions = _entry(words)
        if key in entries or len(entries) == MAX_ENTRIES:
            raise _malformed(words)
        entries[key] = permissions
    value = VERSION + b"".join(ENTRY.pack(tag, entries[tag, id_], id_) for tag, id_ in sorted(entries))
    if not is_valid(value):
        raise _malformed(text)
    return value


def is_valid(value: bytes) -> bool:
    """Tell whether the kernel takes a value for an ACL (fs/posix_acl.c, posix_acl_from_xattr and posix_acl_valid)."""
    if not value.startswith(VERSION) or len(value) % ENTRY.size != len(VERSION):
        return False
    entries = list(ENTRY.iter_unpack(value[len(VERSION) :]))
    tags = [tag for tag, _, _ in entries]
    return (
        # In this order, and each but the named ones once.
        tags == sorted(tags)
        and [tag for tag in tags if tag not in (*ACL_NAMED, ACL_MASK)] == [ACL_OWNER, ACL_OWNING_GROUP, ACL_OTHER]
        and tags.count(ACL_MASK) <= 1
        and (ACL_MASK in tags or ACL_NAMED.isdisjoint(tags))
        and all(permissions <= 7 for _, permissions, _ in entries)
        and all(id_ <= MAX_ID for tag, _, id_ in entries if tag in ACL_NAMED)
    )


def extension(value: bytes) -> set[tuple[int, int, int]]:
    """Return the entries (tag, permissions, id) of an ACL that are more than permission bits in another form."""
    entries = ENTRY.iter_unpack(value[len(VERSION) :])
    return {(tag, permissions, id_) for tag, permissions, id_ in entries if tag in ACL_NAMED or tag == ACL_MASK}


def permission_bits(value: bytes) -> tuple[int, int]:
    """Return the bits (octal 0777) that a file with this ACL shows, and those with the owning group's own (acl(5)).

    They differ where there is a mask: it takes the place of the group's.
    """
    entries = {tag: permissions for tag, permissions, _ in ENTRY.iter_unpack(value[len(VERSION) :])}
    owner, group, other = entries[ACL_OWNER] << 6, entries[ACL_OWNING_GROUP], entries[ACL_OTHER]
    return owner | entries.get(ACL_MASK, group) << 3 | other, owner | group << 3 | other


def is_minimal(value: bytes) -> bool:
    """Say whether an ACL is nothing but permission bits in another form."""
    return len(value) == len(VERSION) + 3 * ENTRY.size


def _entry(words: bytes) -> tuple[tuple[int, int], int]:
    match = WORDS.fullmatch(words.strip())
    if match is None:
        raise _malformed(words)
    kind, who, *permissions, number = match.groups()
    tag = TAGS.get((kind, bool(who)))
    if tag is None:
        raise _malformed(words)
    bits = sum(bit for bit, letter in zip((4, 2, 1), permissions, strict=True) if letter != b"-")
    if not who:
        return (tag, NO_ID), bits
    number = number or who
    if not re.fullmatch(rb"[0-9]{1,10}", number):
        reason = f"its ACL names {kind.decode()} {quoted(who)} without a number; write the tar with bsdtar"
        raise MalformedTar(None, reason)
    if int(number) > MAX_ID:
        raise _malformed(words)
    return (tag, int(number)), bits


def _malformed(text: bytes) -> MalformedTar:
    return MalformedTar(None, f"its ACL is malformed: {quoted(text[:100])}")
