"""A disk made into the blob that a registry holds: compressed once, into a file without a name, and hashed on the way.

The bytes are the same for the same disk wherever they are made, by the same version of the library.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import zstandard

from builder.events import Meter
from builder.exact import write_next
from builder.image.digest import Digest
from builder.shortage import Shortage

# As zstd's own command has it: more takes several times as long, and gives 5 % at best.
_LEVEL = 3
# Without a thread of its own the library cuts its input otherwise, and gives other bytes. How much a thread takes at
# once, in bytes, decides them, too: 8 MiB, as by default, makes blobs smaller by 0.2 % and takes 150 MB more.
_THREADS = min(4, os.cpu_count() or 1)
_JOB = 2 << 20


@dataclass(frozen=True, slots=True)
class Packed:
    """A blob in the file `fd`: its digest and its size in bytes, and `content`, the digest of what it unpacks to."""

    fd: int
    digest: Digest
    size: int
    content: Digest


@contextmanager
def packed(chunks: Iterable[bytes], size: int, scratch: Path | None, meter: Meter) -> Iterator[Packed]:
    """Compress `size` bytes into a nameless file of the directory `scratch`, by default the system's for such files.

    `meter` is told how many of them have passed. Raises OSError, as when the place is full, and Shortage.
    """
    parameters = zstandard.ZstdCompressionParameters.from_level(
        _LEVEL, threads=_THREADS, job_size=_JOB, write_content_size=True
    )
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj(size=size)
    # All of these release the interpreter's lock.
    before, after, length, passed = hashlib.sha256(), hashlib.sha256(), 0, 0
    with tempfile.TemporaryFile(dir=scratch, buffering=0) as file:
        for chunk in chunks:
            before.update(chunk)
            passed += len(chunk)
            if piece := _compressed(compressor.compress, chunk):
                length += _put(file.fileno(), piece, after)
            meter(passed)
        length += _put(file.fileno(), _compressed(compressor.flush), after)
        yield Packed(file.fileno(), Digest("sha256", after.hexdigest()), length, Digest("sha256", before.hexdigest()))


def _compressed(step: Callable[..., bytes], *chunk: bytes) -> bytes:
    try:
        return step(*chunk)
    except zstandard.ZstdError as error:
        # Whatever bytes are given to it, it can compress them; but it wants threads, and memory for them.
        raise Shortage(
            "no more memory or threads", "end other programs, or raise the limits (ulimit -v, -u)"
        ) from error


def _put(fd: int, piece: bytes, digest: hashlib._Hash) -> int:
    digest.update(piece)
    write_next(fd, piece)
    return len(piece)
