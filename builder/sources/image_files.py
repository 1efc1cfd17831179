"""From the place in a reference, a path or a URL, to the files that are there."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from builder.errors import ImageNotFound, InvalidReference
from builder.files.directory import DirectoryFiles
from builder.files.files import Files
from builder.files.tar import TarFiles
from builder.files.urls import ARCHIVES, parse_url
from builder.sources.access import Means
from builder.sources.plain_tar import open_tar, unpack_tar
from builder.sources.transport import Reference
from builder.words import quoted

if TYPE_CHECKING:
    from fs.opener.parse import ParseResult

# URLs that PyFilesystem gives to local directories, so they are paths to us.
_LOCAL = ("osfs", "file")


def open_directory(reference: Reference, means: Means) -> Files:
    """Open the directory that a reference names: a real one, or the file system behind a URL."""
    return _shared("directory", reference, means, _directory)


def open_archive(reference: Reference, means: Means) -> Files:
    """Open the archive that a reference names: a local file, or a file in the file system behind a URL."""
    return _shared("archive", reference, means, _archive)


def open_anything(reference: Reference, means: Means) -> Files:
    """Open a place without being told what it is: a local file is an archive, all else a directory."""
    return _shared("anything", reference, means, _anything)


def _shared(kind: str, reference: Reference, means: Means, open: Callable[[Reference, Means], Files]) -> Files:
    if means.shared is None:
        return open(reference, means)
    return means.shared.files((kind, reference.place), lambda: open(reference, means))


def _directory(reference: Reference, means: Means) -> Files:
    place = reference.place
    if place.startswith("//") and not os.path.lexists(place):
        # What is in a registry has that scheme for Helm and others.
        raise ImageNotFound(place, "there is no such directory; an image in a registry is docker://NAME")
    if not reference.is_url:
        return _open_directory(place)
    url = parse_url(place)
    return _open_directory(_local_path(url)) if url.protocol in _LOCAL else _file_system(place, means)


def _file_system(place: str, means: Means) -> Files:
    """Open the file system of a URL that is no local directory's."""
    url = parse_url(place)
    if url.protocol == "tar":
        # PyFilesystem reads tars with Python's tarfile, which a crafted one can send round in circles.
        file = open_tar(_expanded(url.resource), means)
        return TarFiles(file, place, [_expanded(url.resource)], below=url.path or "")
    # Here, because it imports PyFilesystem.
    from builder.files.pyfilesystem import open_pyfilesystem

    return open_pyfilesystem(place)


def _archive(reference: Reference, means: Means) -> Files:
    place = reference.place
    if not reference.is_url:
        return _open_archive(place, means)
    url = parse_url(place)
    if url.protocol in _LOCAL:
        return _open_archive(_local_path(url), means)
    container, path = _split_file(place)
    # Without a path in it a zip, or a tar, is a file system, whatever directory it is in.
    if not path or (url.protocol in ARCHIVES and "!" not in place):
        raise InvalidReference(reference.text, "names a file system; name the archive in it as URL!PATH")
    files = _file_system(container, means)
    try:
        file = files.open(path)
        if file is None:
            raise ImageNotFound(files.place, f"there is no file {quoted(path)}; check the path")
        return TarFiles(unpack_tar(file, place, means), place, files.inputs())
    finally:
        files.close()


def _anything(reference: Reference, means: Means) -> Files:
    place = reference.place
    if reference.is_url:
        url = parse_url(place)
        if url.protocol not in _LOCAL:
            return _directory(reference, means)
        place = _local_path(url)
    return _open_directory(place) if os.path.isdir(place) else _open_archive(place, means)


def _open_directory(path: str) -> Files:
    if os.path.isfile(path):
        reason = "is a file, not a directory; write oci-archive:FILE, docker-archive:FILE or the path alone"
        raise ImageNotFound(path, reason)
    return DirectoryFiles(path)


def _open_archive(path: str, means: Means) -> Files:
    return TarFiles(open_tar(path, means), path, [path])


def _split_file(url: str) -> tuple[str, str]:
    """Split the URL of a file into that of its file system and the path there, as `zip://a.zip!/b.tar`."""
    container, mark, path = url.partition("!")
    if mark:
        return container, path.strip("/")
    scheme, _, rest = url.partition("://")
    parent, _, name = rest.rpartition("/")
    return f"{scheme}://{parent}", name


def _local_path(url: ParseResult) -> str:
    path = _expanded(url.resource)
    return os.path.join(path, url.path.strip("/")) if url.path else path


def _expanded(path: str) -> str:
    # As PyFilesystem does with the paths in its URLs.
    return os.path.expanduser(os.path.expandvars(path))
