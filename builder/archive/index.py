"""The table of contents of an archive that holds an image: a plain tar in a seekable file.

Only headers are read; content is passed over with seek, whatever its size.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO

from builder.archive.entry import Kind
from builder.archive.header import Header
from builder.archive.walk import walk
from builder.errors import MalformedTar

# Images have a few blobs for each layer; this bounds memory.
MAX_MEMBERS = 100_000


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
    targets too. Raises MalformedTar for what TarReader would refuse and for what has no place in an image archive:
    ".." in a name, a name that occurs twice, devices, sparse files.
    """
    headers: list[Header] = []
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
                _add(members, headers.pop())
    return members


def _read(file: BinaryIO, count: int) -> bytes:
    """Read `count` bytes, fewer only at the end: an unbuffered file may return less than it has."""
    data = file.read(count)
    while data and len(data) < count and (more := file.read(count - len(data))):
        data += more
    return data


def _add(members: dict[str, Member], header: Header) -> None:
    entry = header.entry
    if entry.kind is Kind.DIRECTORY:
        return
    if entry.kind not in (Kind.FILE, Kind.SYMLINK, Kind.HARDLINK) or header.sparse:
        what = "sparse file" if header.sparse else entry.kind.value
        raise MalformedTar(entry.path, f"it is a {what}, which has no place in an image archive")
    parts = [part for part in entry.path.split(b"/") if part not in (b"", b".")]
    if not parts or b".." in parts:
        raise MalformedTar(entry.path, "its name does not stay in the archive")
    name = b"/".join(parts).decode("utf-8", "surrogateescape")
    # Some tools take the first of two, some the last.
    if name in members:
        raise MalformedTar(entry.path, "the archive has two entries of this name")
    if len(members) == MAX_MEMBERS:
        raise MalformedTar(entry.path, f"the archive has more than {MAX_MEMBERS} entries")
    link = entry.link.decode("utf-8", "surrogateescape")
    members[name] = Member(entry.kind, header.content, header.stored, link)
