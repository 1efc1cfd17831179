"""A layer blob as a verified stream of entries.

    blob ─> hash, count ─> inflate, count ─┬─> tar reader ─> entries
            └─ thread ──┘  └─── thread ───┘│   └─ caller's thread
                                           └─> hash
                                               └ thread

All of the heavy steps release the interpreter lock, so they overlap. Every byte passes once. A small layer is read by
the caller's thread alone: before three others had begun.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from itertools import chain
from typing import TypeVar

from builder.archive.compression import COMPRESSIONS, detect
from builder.archive.entry import Entry
from builder.archive.tar import TarReader
from builder.errors import CorruptStream, LayerRefused, MalformedTar
from builder.events import Listener, Meter, Notice
from builder.image.image import Layer
from builder.image.media_types import layer_compression
from builder.image.verifier import Verifier
from builder.layers.account import Account
from builder.layers.ahead import ahead, aside, batches
from builder.layers.estargz import FOOTER_SIZE, is_bookkeeping
from builder.layers.zstd_chunked import RECORD, is_chunked
from builder.sources.source import Arriving, Source, is_rebuilt

T = TypeVar("T")

# In bytes: what the next thread is handed at once, of a blob and, in chunks as they come, of what it inflates to. Each
# time is dear: with halves a build takes 6 % longer.
_READ_SIZE = 1 << 19
_INFLATED_SIZE = 1 << 20
# In bytes, of a blob: an image of 500 such layers takes a quarter less without threads.
_SMALL = 1 << 18
# So many times that wait for their reader at most, and as many for the hash: a reader is at times slower, and at times
# faster than the inflater.
_AHEAD = 8


class LayerStream:
    """The entries of one layer, in the order of its archive.

    What comes out is not verified yet: only leaving `open_layer` without an exception says that it was.
    """

    def __init__(self, layer: Layer, source: Source, account: Account, listen: Listener) -> None:
        self.name = layer.name
        self._layer = layer
        self._account = account
        self._listen = listen
        self._packed = Verifier(f"{layer.name}: blob", layer.descriptor.digest, layer.descriptor.size)
        self._plain = Verifier(f"{layer.name}: diff_id", layer.diff_id)
        self._rebuilt = is_rebuilt(source, layer.descriptor)
        self._blob = source.open(layer.descriptor)
        self._tail = b""
        self._is_small = layer.descriptor.size <= _SMALL
        self._packed_chunks = self._beside(self._packed.watch(self._read_blob()))
        self._inflated = self._beside(batches(self._bounded(self._inflate()), _INFLATED_SIZE), depth=_AHEAD)
        self._hashed = self._watched(self._inflated)
        self._plain_chunks = chain.from_iterable(self._hashed)
        self._tar = TarReader(self._reported())

    def __iter__(self) -> Iterator[Entry]:
        """Yield each entry; its content must be read before the next is asked for."""
        for entry in self._tar:
            self._account.entry(self.name, entry, self._tar.headers_size)
            yield entry

    def content(self) -> Iterator[tuple[int, memoryview]]:
        """Yield the current entry's content (see TarReader)."""
        return self._tar.content()

    def is_bookkeeping(self, entry: Entry) -> bool:
        """Whether an entry belongs to the layer's format and not to the image; known once all is read."""
        return is_bookkeeping(entry.path, self._layer.descriptor.annotations, self._tail)

    def verify(self) -> None:
        """Read what is left and compare the blob's digest and size, then the diff_id, with the image's word.

        The diff_id of a layer that its source put together from unpacked files cannot be compared; that is said. One of
        zstd:chunked may be of more zeros at the end than there are (zstd_chunked.py).
        """
        for _ in self._plain_chunks:
            pass
        self.verify_blob()
        if self._rebuilt:
            text = f"{self.name}: its tar is put together from unpacked files, so its diff_id could not be verified"
            self._listen(Notice(text))
        else:
            self._plain.finish(RECORD if is_chunked(self._layer.descriptor.annotations) else 1)

    def verify_blob(self) -> None:
        """Read what is left of the blob alone: it does not inflate, and the reason may be that it is damaged."""
        for _ in self._packed_chunks:
            pass
        self._packed.finish()

    def close(self) -> None:
        """Stop the threads and close the blob."""
        self._wait_no_more()
        self._tar.close()
        self._hashed.close()
        self._inflated.close()
        self._packed_chunks.close()
        self._blob.close()

    def _beside(self, items: Iterator[T], depth: int = 4) -> Generator[T, None, None]:
        """Have a step run beside the others, where that pays."""
        if self._is_small:
            return _one_by_one(items)
        return ahead(items, depth, interrupted=self._wait_no_more)

    def _watched(self, inflated: Iterator[list[bytes]]) -> Generator[list[bytes], None, None]:
        """Have the plain tar hashed on its way, or beside it."""
        if self._is_small:
            return _one_by_one(list(self._plain.watch(batch)) for batch in inflated)
        return aside(inflated, self._hash, _AHEAD)

    def _hash(self, batch: list[bytes]) -> None:
        for chunk in batch:
            self._plain.update(chunk)

    def _wait_no_more(self) -> None:
        # Who stops the build does not want to wait for the network.
        if isinstance(self._blob, Arriving):
            self._blob.stop()

    def _read_blob(self) -> Iterator[bytes]:
        while chunk := self._blob.read(_READ_SIZE):
            # Its last bytes may be a footer.
            self._tail = (self._tail + chunk[-FOOTER_SIZE:])[-FOOTER_SIZE:]
            yield chunk

    def _inflate(self) -> Iterator[bytes]:
        """Inflate what the content is, whatever it is called: its digest and its diff_id are verified all the same."""
        promised = layer_compression(self._layer.descriptor.media_type)
        head = next(self._packed_chunks, b"")
        found = detect(head)
        if not COMPRESSIONS[found].matches(head):
            found = promised
        if found != promised:
            text = f"{self.name}: its media type says {promised}, its content is {found}; it is read as that"
            self._listen(Notice(text))
        yield from COMPRESSIONS[found].decompress(chain([head] if head else [], self._packed_chunks))

    def _bounded(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        count = 0
        for chunk in chunks:
            count += len(chunk)
            self._account.unpacked(self.name, len(chunk))
            self._account.ratio(self.name, self._packed.count, count)
            yield chunk

    def _reported(self) -> Iterator[bytes]:
        meter = Meter(self._listen)
        for chunk in self._plain_chunks:
            meter(self._packed.count)
            yield chunk


def _one_by_one(items: Iterator[T]) -> Generator[T, None, None]:
    yield from items


@contextmanager
def open_layer(source: Source, layer: Layer, account: Account, listen: Listener) -> Iterator[LayerStream]:
    """Open a layer for one pass; on leaving, what was not read is drained and everything verified.

    A blob that is not what its digest says is reported as that (DigestMismatch, SizeMismatch), never as the parse
    error that it causes; only content that is what the image promised is refused for what is wrong with it
    (LayerRefused, LimitExceeded).
    """
    with closing(LayerStream(layer, source, account, listen)) as stream:
        try:
            try:
                yield stream
            except MalformedTar:
                stream.verify()
                raise
            stream.verify()
        except MalformedTar as error:
            raise LayerRefused(layer.name, error.entry, error.reason) from error
        except CorruptStream as error:
            stream.verify_blob()
            # Nobody has to fetch it again; but of a layer that is packed, an archive may state no digest.
            reason = f"{error.reason}; what the image says of the blob is right: make the image, or its archive, again"
            raise LayerRefused(layer.name, None, reason) from error
