"""A layer's tar: what it is, and its bytes, wherever in the stores its parts are."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import BinaryIO

from builder.archive.compression.streams import gather
from builder.containers_storage.composefs import MAX_TABLE, TABLE, ByDigest
from builder.containers_storage.handles import Handle
from builder.containers_storage.records import LayerRecord
from builder.containers_storage.store import Store
from builder.containers_storage.tarsplit import READ_SIZE, read_pieces, rebuild, tar_size
from builder.containers_storage.unpacked import Unpacked
from builder.containers_storage.walk import write_tar
from builder.errors import MalformedArchive, UnsupportedImage
from builder.events import Listener, ignore
from builder.image.descriptor import Descriptor
from builder.image.digest import Digest
from builder.image.media_types import OCI_LAYER


def describe_layer(stores: Sequence[Store], layer: LayerRecord, diff_id: Digest, listen: Listener) -> Descriptor:
    """Describe a layer as a plain tar, without a word of the store's being trusted.

    With a tar-split it is the tar that diff_id promises, whose size is added up; without, it is one made of the
    unpacked files, which are read to hash it. Raises MalformedArchive for a layer of which something is missing, and
    UnsupportedImage for one of which that is not known.
    """
    found = _open_tar_split(stores, layer)
    if found is not None:
        file, where = found
        with file:
            return Descriptor(OCI_LAYER, diff_id, tar_size(read_pieces(file, where), where))
    if layer.is_chunked:
        # Tools of 2022 lost times and fifos of such layers.
        reason = "was pulled in parts, from zstd:chunked, and there is no tar-split to verify what became of it"
        raise UnsupportedImage(f"layer {layer.id}", f"{reason}; pull the image without enable_partial_images")
    hasher, size = hashlib.sha256(), 0
    with ExitStack() as stack:
        for chunk in _made_of_files(stores, layer, stack, listen):
            hasher.update(chunk)
            size += len(chunk)
    return Descriptor(OCI_LAYER, Digest("sha256", hasher.hexdigest()), size)


def open_layer_tar(stores: Sequence[Store], layer: LayerRecord) -> BinaryIO:
    """Open the tar that `describe_layer` describes, for one sequential read; the caller closes it.

    The store is locked for as long as it is open, as the store's own readers do it. Raises MalformedArchive.
    """
    with ExitStack() as stack:
        for store in stores:
            stack.enter_context(store.layers_locked())
        found = _open_tar_split(stores, layer)
        if found is None:
            chunks = _made_of_files(stores, layer, stack, ignore)
        else:
            file, where = found
            stack.enter_context(file)
            chunks = gather(rebuild(read_pieces(file, where), _open_files(stores, layer, stack)))
        # Not larger than what is read at a time, so that most of it is not copied once more.
        return io.BufferedReader(_Stream(chunks, stack.pop_all()), READ_SIZE)


def tar_split_paths(stores: Sequence[Store], layer: LayerRecord) -> list[str]:
    """Name the file of a layer's tar-split, where there is one."""
    found = _open_tar_split(stores, layer)
    if found is None:
        return []
    found[0].close()
    return [found[1]]


def _open_tar_split(stores: Sequence[Store], layer: LayerRecord) -> tuple[BinaryIO, str] | None:
    # Its own store may keep it in another directory: with an imagestore, the tar-splits are in the graphroot.
    for store in stores:
        fd = store.open_tar_split(layer.id)
        if fd is not None:
            return open(fd, "rb", buffering=0), store.tar_split_path(layer.id)
    return None


def _open_files(stores: Sequence[Store], layer: LayerRecord, stack: ExitStack) -> Unpacked | ByDigest:
    for store in stores:
        diff = store.open_diff(layer.id)
        if diff is not None:
            stack.callback(diff.close)
            if store.is_composefs(layer.id):
                return _by_digest(stores, layer, diff)
            files = Unpacked(diff)
            stack.callback(files.close)
            return files
    where = " or ".join(f"{store.root}/overlay" for store in stores)
    raise MalformedArchive(f"layer {layer.id}", f"its files are not in {where}; pull or build the image again")


def _by_digest(stores: Sequence[Store], layer: LayerRecord, diff: Handle) -> ByDigest:
    for store in stores:
        table = store.layer_data(layer.id, TABLE, MAX_TABLE)
        if table is not None:
            return ByDigest(diff, table, f"layer {layer.id}: {TABLE}")
    raise MalformedArchive(
        f"layer {layer.id}", "is kept as a composefs without names for its files; pull the image again"
    )


def _made_of_files(stores: Sequence[Store], layer: LayerRecord, stack: ExitStack, listen: Listener) -> Iterator[bytes]:
    files = _open_files(stores, layer, stack)
    if isinstance(files, ByDigest):
        raise UnsupportedImage(f"layer {layer.id}", "is kept as a composefs, without a tar-split; pull the image again")
    return gather(write_tar(files, layer, listen))


class _Stream(io.RawIOBase):
    """Chunks of bytes as a file; closing it closes what they come from."""

    def __init__(self, chunks: Iterator[bytes], held: ExitStack) -> None:
        super().__init__()
        self._chunks = chunks
        self._held = held
        self._chunk = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        while not self._chunk:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._chunk = memoryview(chunk)
        count = min(len(buffer), len(self._chunk))
        buffer[:count] = self._chunk[:count]
        self._chunk = self._chunk[count:]
        return count

    def close(self) -> None:
        if not self.closed:
            self._held.close()
        super().close()
