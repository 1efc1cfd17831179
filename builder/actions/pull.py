"""Copy an image from wherever it is into the store."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event, Lock
from typing import BinaryIO

from builder.actions.pull_attested import keep_attested
from builder.errors import DigestMismatch, InvalidReference, SizeMismatch
from builder.events import Listener, Meter, Stage, ignore
from builder.image.descriptor import Descriptor
from builder.image.digest import Digest
from builder.image.image import Image
from builder.image.name import ImageName
from builder.image.platform import Platform
from builder.layers.account import Account
from builder.limits import Limits
from builder.sizes import counted
from builder.sources import open_source
from builder.sources.access import Access, Means
from builder.sources.docker.background import LeftDamaged
from builder.sources.reference import parse_reference
from builder.sources.selection import select
from builder.sources.source import Source, expect
from builder.sources.stored_name import stored_name
from builder.store import Lease, Store, open_store
from builder.store.reference_files import recorded

_AT_ONCE = 4
_READ_SIZE = 1 << 20


@dataclass(frozen=True, slots=True)
class Pulled:
    """An image that is in the store now: its full name, its document's digest, and which of its images were asked for.

    `copied` counts the bytes of the layers that were not there before.
    """

    name: ImageName
    digest: Digest
    platforms: tuple[Platform, ...]
    copied: int


def pull(
    reference: str,
    access: Access | None = None,
    *,
    name: ImageName | None = None,
    platforms: Sequence[Platform] | None = (),
    limits: Limits | None = None,
    tmpdir: Path | None = None,
    source: Source | None = None,
    listen: Listener = ignore,
) -> Pulled:
    """Copy the image at `reference` into the store that `access` names, and record it as `name`.

    Indexes stay indexes, of which the images for `platforms` are copied: by default this machine's, with None all.
    What the index has attested of them comes with them. Every blob is verified; what is there already is not copied
    again, and what an interrupted transfer left is used.
    Compressed archives are unpacked in `tmpdir`, by default the system's place for temporary files. A `source` that was
    opened for this (see open_to_pull) is taken over.
    The image is recorded when all of it is there. No layer is begun that claims more bytes than `limits` has for what
    it unpacks to. Raises InvalidReference where its name cannot be told, LimitExceeded, and BuilderError.
    """
    parsed = parse_reference(reference)
    limits, access = limits or Limits(), access or Access()
    with ExitStack() as stack:
        if source is not None:
            stack.enter_context(closing(source))
        store = stack.enter_context(closing(open_store(access.store, listen)))
        lease = stack.enter_context(store.lease())
        if source is None:
            source = stack.enter_context(closing(open_to_pull(reference, access, limits, tmpdir, listen)))
        name = recorded(name or stored_name(parsed, source))

        def keep(document: Descriptor, content: bytes) -> None:
            lease.add(document)
            if not store.holds(document):
                store.put(document, [content], lease)

        chosen = select(source, reference, platforms, keep, listen)
        if name.digest not in (None, chosen.root.digest):
            reason = f"is no name for this image, whose digest is {chosen.root.digest}; choose another with --name"
            raise InvalidReference(str(name), reason)
        filling = parsed.transport is not None and parsed.transport.fills_store
        transfers = _Transfers(source, store, lease, ignore, filling=filling)

        def copy(blobs: Iterable[Descriptor]) -> None:
            lease.add(*blobs)
            for blob in blobs:
                if not store.holds(blob):
                    transfers.bring(blob)

        layers = _layers(chosen.images, limits)
        copied = _copy(source, layers, store, lease, filling, listen)
        for image in chosen.images:
            keep_attested(source, image, keep, copy, listen)
        store.put_manifest(name, chosen.root, chosen.content, lease)
    found = dict.fromkeys(image.config.platform.normalised() for image in chosen.images)
    return Pulled(name, chosen.root.digest, tuple(found), copied)


def open_to_pull(reference: str, access: Access, limits: Limits, tmpdir: Path | None, listen: Listener) -> Source:
    """Open an image that is to be copied into the store. Raises what `open_source` raises."""
    # Recorded by who copies it, under the one name that was asked for.
    return open_source(reference, replace(access, keep=True), Means(tmpdir, listen, limits, record=False))


def _layers(images: Sequence[Image], limits: Limits) -> list[Descriptor]:
    """List the layers of images, each once. Raises LimitExceeded where they claim more bytes than may be unpacked."""
    # Who claims too much is refused before anything is fetched.
    Account.of(images, limits)
    return list({layer.descriptor.digest: layer.descriptor for image in images for layer in image.layers}.values())


def _copy(
    source: Source, layers: Sequence[Descriptor], store: Store, lease: Lease, filling: bool, listen: Listener
) -> int:
    """Copy the layers that are not there, several at once; return their bytes."""
    lease.add(*layers)
    absent = [layer for layer in layers if not store.holds(layer)]
    total = sum(layer.size for layer in absent)
    here = f", {len(layers) - len(absent)} here already" if len(absent) < len(layers) else ""
    listen(Stage(f"pulling {counted(len(layers), 'layer')}{here}", total))
    expect(source, absent)
    transfers = _Transfers(source, store, lease, listen, filling=filling)
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


class _Transfers:
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
