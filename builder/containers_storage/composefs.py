"""A layer that is kept as a composefs: its files lie under the digests of their contents.

Which names they have says the table of contents that a zstd:chunked layer has, kept beside the layer's record
(containers/storage, pkg/chunked). It is not trusted: the tar that comes out has the layer's diff_id, or is refused.
"""

from __future__ import annotations

import posixpath
from contextlib import closing

import msgspec

from builder.containers_storage.handles import Handle
from builder.errors import InvalidDigest, MalformedArchive
from builder.image.digest import Digest
from builder.words import quoted

# The key of the table, and the most bytes that the store's own readers take of one.
TABLE, MAX_TABLE = "zstd-chunked-manifest", 150 << 20
# An entry of a real table takes more than 150 bytes; of smaller ones, so many would take 1.5 GB of memory.
_MAX_ENTRIES = 1 << 20


class _Entry(msgspec.Struct):
    type: str
    name: str
    digest: str = ""


class _Table(msgspec.Struct):
    entries: list[_Entry]


class ByDigest:
    """Files below one directory, which stays open, by the names in `table`, which `where` names in errors.

    Raises MalformedArchive for a table that is none.
    """

    def __init__(self, root: Handle, table: bytes, where: str) -> None:
        self.root = root
        if table.count(b"{") > _MAX_ENTRIES:
            raise MalformedArchive(where, f"is no table of contents: it has more than {_MAX_ENTRIES} entries")
        try:
            entries = msgspec.json.decode(table, type=_Table).entries
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise MalformedArchive(where, f"is no table of contents: {error}; pull the image again") from error
        self._digests = {_clean(each.name.encode()): each.digest for each in entries if each.type == "reg"}

    def open(self, name: bytes) -> int:
        """Open a regular file and return its descriptor; raises MalformedArchive where it is not there."""
        stated = self._digests.get(_clean(name), "")
        try:
            found = Digest.parse(stated).hex
        except InvalidDigest as error:
            reason = f"the table of contents has {quoted(stated, 200)} for its digest; pull the image again"
            raise MalformedArchive(self._where(name), reason) from error
        directory = self.root.directory(found[:2])
        if directory is not None:
            with closing(directory):
                if (fd := directory.file(found[2:])) is not None:
                    return fd
        raise MalformedArchive(self._where(name), f"its content {stated} is missing; pull the image again")

    def _where(self, name: bytes) -> str:
        return f"{self.root.where}, entry {quoted(name)}"


def _clean(name: bytes) -> bytes:
    """Write a name as others of the same file are written, too."""
    return posixpath.normpath(name.strip(b"/"))
