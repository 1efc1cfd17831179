"""The table of contents of an archive that holds an image: a plain tar in a seekable file.

Only headers are read; content is passed over with seek, whatever its size, but for that of a name that occurs twice.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import BinaryIO

from builder.archive.entry import Kind
from builder.archive.header import Header
from builder.archive.headers import walk
from builder.errors import UnfitTar

# Images have a few blobs for each layer; this bounds memory.
MAX_MEMBERS = 100_000
# In bytes, of all headers together: records in them take time to read.
MAX_HEADERS = 256 * 1024 * 1024
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Member:
    """Where a member's content lies, in bytes; `link` is the raw target of a symlink or hardlink, "" for a file."""

    kind: Kind
    offset: int
    size: int
    link: str = ""


def index(file: BinaryIO) -> dict[str, Member]:
    """Map the names of files, symlinks and hardlinks to what is known of them; directories are left out.

    Names lose a leading "./" or "/" and doubled slashes; bytes that are not UTF-8 become surrogates (PEP 383), in link
    targets too. A name may occur twice with the same content. Raises MalformedTar for what TarReader would refuse, and
    UnfitTar for what has no place in an image archive: ".." in a name, two contents of one name, devices, sparse files.
    """
    headers: list[Header] = []
    taken = 0
    members: dict[str, Member] = {}
    end = file.seek(0, 2)
    position = 0
    steps = walk(headers.append)
    skip, want = next(steps)
    with suppress(StopIteration):
        while True:
            position += skip
            if position > end:
                skip, want = steps.send(None)
            file.seek(position)
            unit = _read(file, want)
            position += len(unit)
            skip, want = steps.send(unit)
            if headers:
                header = headers.pop()
                taken += header.content - header.position
                if taken > MAX_HEADERS:
                    raise UnfitTar(header.path, f"the headers so far take more than {MAX_HEADERS} bytes")
                _add(members, header, file)
    return members


def _read(file: BinaryIO, count: int) -> bytes:
    """Read `count` bytes, fewer only at the end: an unbuffered file may return less than it has."""
    data = file.read(count)
    while data and len(data) < count and (more := file.read(count - len(data))):
        data += more
    return data


def _add(members: dict[str, Member], header: Header, file: BinaryIO) -> None:
    if header.kind is Kind.DIRECTORY:
        return
    sparse = header.extents is not None
    if header.kind not in (Kind.FILE, Kind.SYMLINK, Kind.HARDLINK) or sparse:
        what = "sparse file" if sparse else header.kind.value
        raise UnfitTar(header.path, f"it is a {what}, which has no place in an image archive")
    parts = [part for part in header.path.split(b"/") if part not in (b"", b".")]
    if not parts or b".." in parts:
        raise UnfitTar(header.path, "its name does not stay in the archive")
    name = b"/".join(parts).decode("utf-8", "surrogateescape")
    member = Member(header.kind, header.content, header.stored, header.link.decode("utf-8", "surrogateescape"))
    # Some tools take the first of two, some the last.
    if name in members and not _same(members[name], member, file):
        raise UnfitTar(header.path, "the archive has two entries of this name, with different content")
    if len(members) == MAX_MEMBERS and name not in members:
        raise UnfitTar(header.path, f"the archive has more than {MAX_MEMBERS} entries")
    members.setdefault(name, member)


def _same(one: Member, other: Member, file: BinaryIO) -> bool:
    """Say whether it makes no difference which of two members is taken: writers of several images repeat layers."""
    if replace(one, offset=0) != replace(other, offset=0):
        return False
    for start in range(0, one.size, _CHUNK):
        count = min(_CHUNK, one.size - start)
        file.seek(one.offset + start)
        data = _read(file, count)
        file.seek(other.offset + start)
        if _read(file, count) != data:
            return False
    return True
