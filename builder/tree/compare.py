"""Two trees held against each other, name by name: each a stream in the order of Tree.walk, neither in memory.

Holes are compared as the zeros that they read as. A guest cannot tell by reading where they are: that is compared only
for disks that are known to store no block of nothing but zeros.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field

from builder.errors import ImageRefused
from builder.linux import ACL_NAMED, ACLS, NO_ID
from builder.tree.difference import Comparing
from builder.tree.found import Found, Inode
from builder.words import legible, quoted

_TYPES = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFCHR: "character device",
    stat.S_IFBLK: "block device",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
}
# A directory of ext4 with more links than it can count (EXT4_LINK_MAX) says 1.
_MOST_COUNTED, _UNCOUNTED = 65000, 1
# Of values that are shown, in bytes.
_SHOWN = 32
# An ACL's version, and an entry of it: tag, permissions, id.
_ACL_HEADER, _ACL_ENTRY = 4, 8


@dataclass(frozen=True, slots=True)
class Difference:
    """`what` differs at `path`, a path of the tree from its root: it is `found` and should be `expected`.

    A name that is `missing`, or is there and should not be (`extra`), is expected or found to be of a type.
    """

    path: bytes
    what: str
    found: str | None
    expected: str | None

    def __str__(self) -> str:
        where = legible(self.path)
        if self.found is None:
            return f"{where}: {self.what} missing" if self.what != "missing" else f"{where}: missing"
        if self.expected is None:
            return f"{where}: {self.what} extra" if self.what != "extra" else f"{where}: extra"
        return f"{where}: {self.what} {self.found}, expected {self.expected}"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Paths of which nobody knows what should be there, and what is below them."""

    paths: frozenset[bytes] = frozenset()

    def covers(self, path: bytes) -> bool:
        """Tell whether a path is one of them, or below one."""
        if not self.paths:
            return False
        parts = path.split(b"/")
        return any(b"/".join(parts[:count]) in self.paths for count in range(1, len(parts) + 1))

    def leads_to(self, path: bytes) -> bool:
        """Tell whether one of them is below a path, which may be there for its sake."""
        below = path + b"/" if path else b""
        return any(each.startswith(below) for each in self.paths)


@dataclass(slots=True)
class Comparison:
    """How what is found is held against what is expected.

    `holds` says what becomes of a time on that disk; `own` are directories in the root that are its maker's;
    `has_holes` says that no block of nothing but zeros is stored there, and `has_symlink_modes` that a symlink has the
    permissions that Linux gives it. `names` counts what was compared.
    """

    holds: Callable[[int], int] = lambda mtime_ns: mtime_ns
    own: Collection[bytes] = ()
    left_out: LeftOut = LeftOut()
    has_holes: bool = False
    has_symlink_modes: bool = False
    names: int = 0
    # The first name of each inode that has several: on the one side, on the other, and which were compared.
    _found: dict[int, bytes] = field(default_factory=dict)
    _expected: dict[int, bytes] = field(default_factory=dict)

    def differences(self, found: Iterator[Found], expected: Iterator[Found]) -> Iterator[Difference]:
        """Yield what differs, in the order of names. Raises what reading either raises."""
        one, other = next(found, None), next(expected, None)
        while one is not None or other is not None:
            if other is None or (one is not None and one.order < other.order):
                assert one is not None
                yield from self._extra(one)
                one = next(found, None)
            elif one is None or other.order < one.order:
                yield from self._missing(other)
                other = next(expected, None)
            else:
                if not self.left_out.covers(one.path):
                    self.names += 1
                    yield from self._both(one, other)
                one, other = next(found, None), next(expected, None)

    def _extra(self, one: Found) -> Iterator[Difference]:
        if one.path in self.own or self.left_out.covers(one.path):
            return
        if one.inode.is_directory and self.left_out.leads_to(one.path):
            return
        yield Difference(_absolute(one.path), "extra", _type(one.inode), None)

    def _missing(self, other: Found) -> Iterator[Difference]:
        if not self.left_out.covers(other.path):
            yield Difference(_absolute(other.path), "missing", None, _type(other.inode))

    def _both(self, one: Found, other: Found) -> Iterator[Difference]:
        path, found, expected = _absolute(one.path), one.inode, other.inode
        # Names of one inode on both sides: all but the first say nothing new.
        first = _first(self._found, found, one.path), _first(self._expected, expected, other.path)
        if first[0] != first[1]:
            yield Difference(path, "hardlink", _named(first[0]), _named(first[1]))
        elif first[0] is not None:
            return
        if stat.S_IFMT(found.mode) != stat.S_IFMT(expected.mode):
            yield Difference(path, "type", _type(found), _type(expected))
            return
        # Nothing that opens or runs a file asks for a symlink's own, and other tools give it all kinds of them.
        if found.mode != expected.mode and (self.has_symlink_modes or not stat.S_ISLNK(found.mode)):
            yield Difference(path, "mode", _mode(found), _mode(expected))
        for what, text in (("owner", _owner), ("size", _size), ("target", _target)):
            if text(found) != text(expected):
                yield Difference(path, what, text(found), text(expected))
        if found.device != expected.device:
            yield Difference(path, "device", _device(found), _device(expected))
        if found.mtime_ns != self.holds(expected.mtime_ns):
            yield Difference(path, "mtime", _time(found.mtime_ns), _time(self.holds(expected.mtime_ns)))
        for flag in found.flags:
            # No image has any.
            yield Difference(path, f"flag {flag}", "set", None)
        yield from self._link_counts(one.path, found, expected)
        yield from _xattrs(path, found, expected)
        if found.is_file and found.size == expected.size:
            yield from _content(path, found, expected, self.has_holes)

    def _link_counts(self, path: bytes, found: Inode, expected: Inode) -> Iterator[Difference]:
        uncounted = found.links == _UNCOUNTED and expected.links > _MOST_COUNTED
        if found.is_directory and (uncounted or self.left_out.leads_to(path)):
            return
        links = found.links - (0 if path else len(self.own))
        if links != expected.links:
            yield Difference(_absolute(path), "links", str(links), str(expected.links))


def _absolute(path: bytes) -> bytes:
    return b"/" + path


def _first(names: dict[int, bytes], inode: Inode, path: bytes) -> bytes | None:
    """Remember the first name of an inode that has several, and give it for the others."""
    if inode.is_directory or inode.links < 2:
        return None
    first = names.setdefault(inode.number, path)
    return None if first == path else first


def _named(first: bytes | None) -> str:
    return "of nothing" if first is None else f"of {quoted(b'/' + first)}"


def _type(inode: Inode) -> str:
    return _TYPES.get(stat.S_IFMT(inode.mode), "nothing that Linux knows")


def _mode(inode: Inode) -> str:
    return f"{stat.S_IMODE(inode.mode):04o}"


def _owner(inode: Inode) -> str:
    return f"{inode.uid}:{inode.gid}"


def _size(inode: Inode) -> str:
    return str(inode.size)


def _target(inode: Inode) -> str:
    return quoted(inode.target)


def _device(inode: Inode) -> str:
    return f"{inode.device[0]}:{inode.device[1]}"


def _time(mtime_ns: int) -> str:
    """Write a time in seconds since 1970."""
    seconds, nanoseconds = divmod(mtime_ns, 10**9)
    return f"{seconds}.{nanoseconds:09}"


def _xattrs(path: bytes, found: Inode, expected: Inode) -> Iterator[Difference]:
    for name in sorted(found.xattrs.keys() | expected.xattrs.keys()):
        one, other = _shown_value(name, found.xattrs), _shown_value(name, expected.xattrs)
        if one == other:
            continue
        what = f"{'ACL' if name in ACLS else 'xattr'} {quoted(name)}"
        yield Difference(path, what, _value(one), _value(other))


def _shown_value(name: bytes, xattrs: Mapping[bytes, bytes]) -> bytes | None:
    """Give a value as Linux shows it: in an ACL, only the entries of those that are named have an id.

    One that is cut off is no ACL, and stays as it is.
    """
    value = xattrs.get(name)
    if value is None or name not in ACLS:
        return value
    entries = [value[at : at + _ACL_ENTRY] for at in range(_ACL_HEADER, len(value), _ACL_ENTRY)]
    return value[:_ACL_HEADER] + b"".join(
        entry if entry[0] in ACL_NAMED or len(entry) < _ACL_ENTRY else entry[:4] + NO_ID.to_bytes(4, "little")
        for entry in entries
    )


def _value(value: bytes | None) -> str | None:
    if value is None:
        return None
    return f"0x{value[:_SHOWN].hex()}" + ("…" if len(value) > _SHOWN else "")


def _content(path: bytes, found: Inode, expected: Inode, has_holes: bool) -> Iterator[Difference]:
    try:
        comparing = Comparing(found.data(), expected.data())
        at = comparing.first_difference()
    except ImageRefused as error:
        yield Difference(path, "content", f"that cannot be read ({error})", "other")
        return
    if at is not None:
        position, one, other = at
        yield Difference(path, "content", f"0x{one:02x} at byte {position}", f"0x{other:02x}")
    elif has_holes and comparing.filled:
        yield Difference(path, "holes", f"{comparing.filled} blocks stored in them", "none")
