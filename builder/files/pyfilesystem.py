"""Files of anything that PyFilesystem opens: zip://, mem://, ftp:// and whatever openers are installed.

It is imported when the first URL is opened, for it takes long.
"""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, BinaryIO

from builder.errors import (
    BuilderError,
    ImageNotFound,
    InvalidReference,
    SourceUnreadable,
    UnsafeFile,
)
from builder.files.import_fs import import_fs, incomplete
from builder.files.links import follow
from builder.files.translated import Translated
from builder.files.urls import archive_of, parse_url
from builder.words import quoted, without_password

if TYPE_CHECKING:
    from fs.base import FS


class PyFilesystemFiles:
    """The files of an open PyFilesystem; `inputs` are the local files behind it, for make."""

    def __init__(self, filesystem: FS, place: str, inputs: list[str]) -> None:
        self.place = place
        self._filesystem = filesystem
        self._inputs = inputs

    def open(self, path: str) -> BinaryIO | None:
        """Open a file for reading; None when there is nothing of that name."""
        real = self._resolve(path)
        if real is None:
            return None
        where = self._where(path)
        with _translated(where):
            return io.BufferedReader(Translated(self._filesystem.openbin(real), partial(_translated, where)))

    def size(self, path: str) -> int | None:
        """Return a file's size in bytes; None when there is nothing of that name."""
        real = self._resolve(path)
        if real is None:
            return None
        with _translated(self._where(path)):
            info = self._filesystem.getinfo(real, ["zip"])
            if info.has_namespace("zip"):
                return int(info.get("zip", "file_size"))
            return int(self._filesystem.getsize(real))

    def inputs(self) -> list[str]:
        """Name the local files behind the file system."""
        return self._inputs

    def close(self) -> None:
        """Close the file system."""
        self._filesystem.close()

    def _where(self, path: str) -> str:
        return f"{self.place}/{path}"

    def _resolve(self, path: str) -> str | None:
        """Follow symlinks within the file system; None when there is nothing of that name."""
        where = self._where(path)
        with _translated(where):
            real = follow(path, where, self._link)
            if not self._filesystem.exists(real):
                return None
            if not self._filesystem.isfile(real):
                raise UnsafeFile(where, "is not a regular file")
            return real

    def _link(self, path: str) -> str | None:
        if not self._filesystem.exists(path):
            return None
        # Not "details": zip archives may hold dates that PyFilesystem stumbles over.
        info = self._filesystem.getinfo(path, ["link", "zip"])
        if info.has_namespace("link") and info.target:
            return str(info.target)
        # A zip made by Info-ZIP's -y keeps a symlink as a file that holds its target.
        if info.has_namespace("zip") and stat.S_ISLNK(int(info.get("zip", "external_attr")) >> 16):
            with self._filesystem.openbin(path) as link:
                return link.read(os.pathconf("/", "PC_PATH_MAX")).decode("utf-8", "surrogateescape")
        return None


def open_pyfilesystem(url: str) -> PyFilesystemFiles:
    """Open the file system that a URL names; raises InvalidReference where no opener takes it, or SourceUnreadable."""
    import_fs()
    from fs.opener import open as open_url
    from fs.opener.errors import UnsupportedProtocol

    place = without_password(url)
    local = archive_of(url)
    if local is not None and not os.path.exists(local):
        raise ImageNotFound(place, f"there is no file {quoted(local)}; check the path")
    with _translated(place):
        try:
            filesystem, path = open_url(url, writeable=False)
        except UnsupportedProtocol as error:
            raise InvalidReference(
                place, f"no PyFilesystem opener for {parse_url(url).protocol}:// is installed"
            ) from error
        if path and path.strip("/"):
            filesystem = _below(filesystem, path, place)
    return PyFilesystemFiles(filesystem, place, [] if local is None else [local])


def _below(filesystem: FS, path: str, place: str) -> FS:
    """Narrow a file system to one of its directories; closing that closes the file system."""
    from fs.subfs import ClosingSubFS

    if not filesystem.isdir(path):
        is_file = filesystem.isfile(path)
        advice = "it is a file, so write oci-archive:URL or docker-archive:URL" if is_file else "check the path"
        filesystem.close()
        raise ImageNotFound(place, f"there is no directory {quoted(path)} in it; {advice}")
    return filesystem.opendir(path, factory=ClosingSubFS)


@contextmanager
def _translated(where: str) -> Iterator[None]:
    # An opener may be anybody's code, and a damaged zip alone raises seven kinds of exceptions.
    try:
        yield
    except BuilderError:
        raise
    except ImportError as error:
        raise incomplete(where, error) from error
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise SourceUnreadable(where, f"cannot be read: {reason}") from error
