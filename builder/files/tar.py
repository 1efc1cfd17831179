"""Files of a tar, read where they lie: nothing is extracted."""

from __future__ import annotations

import os
from typing import BinaryIO

from builder.archive.entry import Kind
from builder.archive.index import Member, index
from builder.errors import MalformedArchive, MalformedTar, UnfitTar
from builder.files.files import reading, span
from builder.files.links import MAX_SYMLINKS, follow, leads_out, too_many_links

_ZIP_MAGIC = b"PK\x03\x04"


class TarFiles:
    """The files of a tar in a plain, seekable file, which it takes over; links are resolved inside the tar.

    `below` is the directory in the tar that holds the files, and that no link may leave, the top one by default;
    `inputs` are the local files behind it, for make. Raises MalformedArchive for what is not a tar.
    """

    def __init__(self, file: BinaryIO, place: str, inputs: list[str], below: str = "") -> None:
        self.place = place
        self._file = file
        self._inputs = inputs
        self._below = "".join(f"{name}/" for name in below.split("/") if name not in ("", "."))
        try:
            with reading(place):
                self._members = index(file)
        except MalformedTar as error:
            with file:
                raise MalformedArchive(place, _reason(file, error)) from error

    def open(self, path: str) -> BinaryIO | None:
        """Open a file for reading; None when there is nothing of that name."""
        member = self._resolve(path)
        if member is None:
            return None
        where = self._where(path)
        with reading(where):
            return span(os.dup(self._file.fileno()), where, member.offset, member.size)

    def size(self, path: str) -> int | None:
        """Return a file's size in bytes; None when there is nothing of that name."""
        member = self._resolve(path)
        return None if member is None else member.size

    def inputs(self) -> list[str]:
        """Name the local files behind the tar."""
        return self._inputs

    def close(self) -> None:
        """Close the tar."""
        self._file.close()

    def _where(self, path: str) -> str:
        return f"{self.place}/{path}"

    def _resolve(self, path: str) -> Member | None:
        """Follow symlinks and hardlinks to a file; None when there is nothing of that name."""
        where = self._where(path)
        for _ in range(MAX_SYMLINKS):
            path = follow(path, where, self._symlink)
            member = self._members.get(self._below + path)
            if member is None or member.kind is Kind.FILE:
                return member
            # A hardlink names its target from the top of the tar.
            target = member.link.removeprefix("./")
            if not target.startswith(self._below):
                raise leads_out(where)
            path = target.removeprefix(self._below)
        raise too_many_links(where)

    def _symlink(self, path: str) -> str | None:
        member = self._members.get(self._below + path)
        return member.link if member is not None and member.kind is Kind.SYMLINK else None


def _reason(file: BinaryIO, error: MalformedTar) -> str:
    if isinstance(error, UnfitTar):
        # Such as a device, in the tar of a whole system.
        return f"{error}; export the image again, or make one of a tree of files with podman import or docker import"
    file.seek(0)
    if file.read(len(_ZIP_MAGIC)) == _ZIP_MAGIC:
        return "is a zip archive, not a tar; for a layout in a zip write oci:zip://FILE"
    return f"is not a tar archive, or a damaged one ({error}); export the image again"
