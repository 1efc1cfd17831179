"""What nobody can do without who turns an image into a disk and verifies it: the floor under every time.

Blobs are read and inflated on one thread, the compressed and the plain bytes are hashed on another; nothing is parsed
and nothing is written. Both threads are off the interpreter's lock for nearly all of their time.
"""

from __future__ import annotations

import hashlib
import queue
import threading
from collections.abc import Callable, Iterator

import zstandard
from isal import isal_zlib

from benching.layers import Blob

# Bytes of a blob at once: what larger pieces inflate to leaves the processor's cache before it is hashed.
_PIECE = 64 << 10
_AHEAD = 16


def floor(layers: list[Blob]) -> int:
    """Read, inflate and verify layers; returns the bytes of plain tar. Raises ValueError for a digest that is wrong."""
    work: queue.Queue[Callable[[], None] | None] = queue.Queue(_AHEAD)
    hashing = threading.Thread(target=_do, args=(work,), daemon=True)
    hashing.start()
    results = []
    total = 0
    for layer in layers:
        packed, plain = hashlib.sha256(), hashlib.sha256()
        results.append((layer, packed, plain))
        for compressed, pieces in _inflated(layer):
            work.put(lambda digest=packed, data=compressed: digest.update(data))  # type: ignore[misc]
            for piece in pieces:
                total += len(piece)
                work.put(lambda digest=plain, data=piece: digest.update(data))  # type: ignore[misc]
    work.put(None)
    hashing.join()
    for layer, packed, plain in results:
        if (layer.digest, layer.diff_id) != (f"sha256:{packed.hexdigest()}", f"sha256:{plain.hexdigest()}"):
            raise ValueError(f"{layer.path} is not what its digests say")
    return total


def _do(work: queue.Queue[Callable[[], None] | None]) -> None:
    while (each := work.get()) is not None:
        each()


def _inflated(layer: Blob) -> Iterator[tuple[bytes, Iterator[bytes]]]:
    """Yield a blob in pieces, each with what it inflates to."""
    with layer.path.open("rb") as file:
        if layer.media_type.endswith("+gzip"):
            inflate = _gzip()
        elif layer.media_type.endswith("+zstd"):
            inflate = _zstd()
        else:
            inflate = lambda data: iter((data,))  # noqa: E731
        while data := file.read(_PIECE):
            yield data, inflate(data)


def _gzip() -> Callable[[bytes], Iterator[bytes]]:
    """Inflate gzip of any number of members."""
    member = isal_zlib.decompressobj(31)

    def inflate(data: bytes) -> Iterator[bytes]:
        nonlocal member
        while data:
            yield member.decompress(data)
            data = b""
            if member.eof:
                data = member.unused_data
                member = isal_zlib.decompressobj(31)

    return inflate


def _zstd() -> Callable[[bytes], Iterator[bytes]]:
    frames = zstandard.ZstdDecompressor().decompressobj(read_across_frames=True)
    return lambda data: iter((frames.decompress(data),))
