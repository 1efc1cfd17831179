"""Blobs on their way from a source into the store, several at once."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing, suppress
from threading import Event, Lock
from typing import BinaryIO

from builder.errors import DigestMismatch, SizeMismatch
from builder.events import Listener, Meter, Stage
from builder.image.descriptor import Descriptor
from builder.sizes import counted
from builder.sources.docker.background import LeftDamaged
from builder.sources.source import Source, expect
from builder.store import Lease, Store

_AT_ONCE = 4
_READ_SIZE = 1 << 20


def copy_layers(
    source: Source, layers: Sequence[Descriptor], store: Store, lease: Lease, filling: bool, listen: Listener
) -> int:
    """Copy the layers that are not there, several at once; return their bytes."""
    lease.add(*layers)
    absent = [layer for layer in layers if not store.holds(layer)]
    total = sum(layer.size for layer in absent)
    here = f", {len(layers) - len(absent)} here already" if len(absent) < len(layers) else ""
    listen(Stage(f"pulling {counted(len(layers), 'layer')}{here}", total))
    expect(source, absent)
    transfers = Transfers(source, store, lease, listen, filling=filling)
    executor = ThreadPoolExecutor(_AT_ONCE)
    try:
        for done in as_completed([executor.submit(transfers.bring, layer) for layer in absent]):
            done.result()
    except BaseException:
        transfers.stop.set()
        # The source may be waiting for a network; this ends that, too.
        source.close()
        raise
    finally:
        executor.shutdown(cancel_futures=True)
    return total


class Transfers:
    """Layers on their way from one source into one store, on several threads; `stop` ends them all.

    With `filling`, the source puts into the store whatever is read of it.
    """

    def __init__(self, source: Source, store: Store, lease: Lease, listen: Listener, *, filling: bool) -> None:
        self.stop = Event()
        self._source = source
        self._store = store
        self._lease = lease
        self._filling = filling
        self._meter = Meter(listen)
        self._lock = Lock()
        self._done = 0

    def bring(self, layer: Descriptor) -> None:
        """See that a layer is in the store."""
        if self._filling:
            self._let_source_fill(layer)
        else:
            self._copy(layer)

    def _copy(self, layer: Descriptor) -> None:
        """Copy a layer, after what an interrupted transfer left of it."""
        while not self._copied(layer):
            pass

    def _copied(self, layer: Descriptor) -> bool:
        """Copy a layer; False when what was left of it turns out to be damaged, and is gone now."""
        with self._open(layer) as blob, closing(self._store.receive(layer, self._lease)) as incoming:
            if not blob.seekable():
                incoming.restart()
            resumed = incoming.there > 0
            if resumed:
                for chunk in incoming.already():
                    self._advance(len(chunk))
                blob.seek(incoming.there)
            try:
                while chunk := self._read(blob):
                    incoming.write(chunk)
                    self._advance(len(chunk))
                if not self.stop.is_set():
                    incoming.commit()
            except (SizeMismatch, DigestMismatch):
                if not resumed:
                    raise
                return False
        return True

    def _let_source_fill(self, layer: Descriptor) -> None:
        """Read a layer that its source puts into the store."""
        # What an interrupted transfer had left may be damaged: then it is gone now.
        with self._open(layer) as blob, suppress(LeftDamaged):
            while chunk := self._read(blob):
                self._advance(len(chunk))
        if not self.stop.is_set() and not self._store.holds(layer):
            self._copy(layer)

    def _open(self, layer: Descriptor) -> BinaryIO:
        # Sources let several blobs be read at once, but opened one by one.
        with self._lock:
            return self._source.open(layer)

    def _read(self, blob: BinaryIO) -> bytes:
        return b"" if self.stop.is_set() else blob.read(_READ_SIZE)

    def _advance(self, count: int) -> None:
        with self._lock:
            self._done += count
            self._meter(self._done)
