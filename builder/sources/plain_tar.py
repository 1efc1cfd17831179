"""The file around an archived image: a plain tar that can be read anywhere, whatever it was when we got it.

A compressed one, or one that cannot be read twice (a pipe, a file on a server), is unpacked once into a temporary
file that has no name, so nothing is left behind whatever happens.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO

from builder.archive.compression import COMPRESSIONS, detect
from builder.errors import CorruptStream, ImageNotFound, MalformedArchive, SourceUnreadable
from builder.exact import read_up_to
from builder.files.files import reading
from builder.limits import Limits
from builder.sources.access import Means

_CHUNK = 1 << 20
_ZEROS = bytes(_CHUNK)
_HEAD = 512


def open_tar(path: str, means: Means) -> BinaryIO:
    """Open the archive at a local path, through a temporary file in `means.scratch` if one is needed.

    Raises ImageNotFound, and MalformedArchive for a damaged compressed file and one beyond `means.limits`.
    """
    with reading(path):
        try:
            file = open(path, "rb", buffering=0)  # noqa: SIM115 (the caller closes it)
        except FileNotFoundError as error:
            raise ImageNotFound(path, "there is no such file; check the path") from error
        except IsADirectoryError as error:
            raise ImageNotFound(
                path, "is a directory, not an archive; write the path alone, or oci:DIR for a layout"
            ) from error
        mode = os.fstat(file.fileno()).st_mode
        if stat.S_ISREG(mode) and detect(read_up_to(file.fileno(), _HEAD, 0)) == "none":
            return file
        if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode)):
            file.close()
            raise MalformedArchive(path, "is neither a file nor a pipe; copy the archive into a file")
    return unpack_tar(file, path, means)


def unpack_tar(file: BinaryIO, place: str, means: Means) -> BinaryIO:
    """Copy an archive, decompressed if need be, into a nameless temporary file, and close it."""
    with file:
        packed = _Packed(file, place)
        head = b"".join(islice(packed, 1))
        chunks = COMPRESSIONS[detect(head[:_HEAD])].decompress(chain([head] if head else [], packed))
        try:
            return _spool(_bounded(chunks, packed, means.limits), means.scratch)
        except CorruptStream as error:
            raise MalformedArchive(place, f"{error.reason}; export the image again") from error
        except OSError as error:
            where = means.scratch or tempfile.gettempdir()
            reason = f"cannot be unpacked into {where} ({error.strerror}); name a larger place with --tmpdir"
            raise SourceUnreadable(place, reason) from error


class _Packed:
    """The bytes of an archive as it is, counted; no chunk but the last is shorter than _HEAD."""

    def __init__(self, file: BinaryIO, place: str) -> None:
        self.place = place
        self.count = 0
        self._file = file

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        chunk = b""
        with reading(self.place):
            # A pipe hands out what it has, be it one byte.
            while len(chunk) < _HEAD and (more := self._file.read(_CHUNK)):
                chunk += more
        if not chunk:
            raise StopIteration
        self.count += len(chunk)
        return chunk


def _bounded(chunks: Iterator[bytes], packed: _Packed, limits: Limits) -> Iterator[bytes]:
    count = 0
    for chunk in chunks:
        count += len(chunk)
        if count > limits.max_size:
            reason = f"it unpacks to more than {limits.max_size} bytes; raise --max-size if you trust it"
            raise MalformedArchive(packed.place, reason)
        if count > limits.ratio_floor and count > limits.max_ratio * packed.count:
            reason = f"{packed.count} bytes unpack to more than {count}, a ratio over {limits.max_ratio}; "
            raise MalformedArchive(packed.place, reason + "raise --max-ratio if you trust it")
        yield chunk


def _spool(chunks: Iterator[bytes], scratch: Path | None) -> BinaryIO:
    spool: BinaryIO = tempfile.TemporaryFile(dir=scratch, buffering=_CHUNK)  # type: ignore[assignment]  # noqa: SIM115
    try:
        for chunk in chunks:
            # Zeros become a hole, so that a bomb of them costs no room.
            if chunk == _ZEROS[: len(chunk)]:
                spool.seek(len(chunk), os.SEEK_CUR)
            else:
                spool.write(chunk)
        spool.truncate()
    except BaseException:
        spool.close()
        raise
    return spool
