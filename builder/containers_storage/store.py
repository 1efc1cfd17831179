"""One store: its images, its layers, and the files of both."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext

from builder.containers_storage.handles import Handle
from builder.containers_storage.lock import locked
from builder.containers_storage.place import OVERLAY
from builder.containers_storage.records import MAX_FILE, ImageRecord, LayerRecord, data_name, parse_records
from builder.errors import UnsupportedImage
from builder.events import Listener
from builder.image.document import MAX_DOCUMENT_SIZE

IMAGES_LOCK, LAYERS_LOCK = "images.lock", "layers.lock"
# Entries of a layer's directory that say that its files are somewhere else, or have other names.
_ELSEWHERE, _COMPOSEFS = "additionallayer", "composefs-data"


class Store:
    """The overlay store below one root, held open; nothing is ever written to it."""

    def __init__(self, root: Handle, listen: Listener) -> None:
        """Take over the open root, of whose directories some may be missing.

        Raises UnsupportedImage for a store of another driver.
        """
        self.root = root.where
        self._listen = listen
        with ExitStack() as stack:
            stack.enter_context(closing(root))

            def part(name: str) -> Handle | None:
                directory = root.directory(name)
                return None if directory is None else stack.enter_context(closing(directory))

            self._images = part(f"{OVERLAY}-images")
            self._layers = part(f"{OVERLAY}-layers")
            self._overlay = part(OVERLAY)
            if self._images is None:
                _refuse_others(root)
            self._opened = stack.pop_all()

    def images(self) -> Mapping[str, ImageRecord]:
        """Read which images there are, by ID; raises MalformedDocument."""
        if self._images is None:
            return {}
        with locked(self._images, IMAGES_LOCK, self._listen):
            data, name = self._images.read("images.json", MAX_FILE), self._images.path("images.json")
        return parse_records(data or b"", ImageRecord, name)

    def layers(self) -> Mapping[str, LayerRecord]:
        """Read which layers there are, by ID; raises MalformedDocument."""
        if self._layers is None:
            return {}
        files = ("volatile-layers.json", "layers.json")
        with self.layers_locked():
            found = [(self._layers.read(file, MAX_FILE) or b"", self._layers.path(file)) for file in files]
        records: dict[str, LayerRecord] = {}
        for data, name in found:
            records |= parse_records(data, LayerRecord, name)
        return records

    def data(self, image: str, key: str) -> bytes | None:
        """Read what is kept of an image under a key; None where there is nothing."""
        directory = None if self._images is None else self._images.directory(image)
        if directory is None:
            return None
        with closing(directory):
            return directory.read(data_name(key), MAX_DOCUMENT_SIZE)

    def data_path(self, image: str, key: str) -> str:
        """Name the file of what is kept of an image under a key."""
        return f"{self.root}/{OVERLAY}-images/{image}/{data_name(key)}"

    @property
    def images_list(self) -> str:
        """The file that says which images there are."""
        return f"{self.root}/{OVERLAY}-images/images.json"

    def tar_split_path(self, layer: str) -> str:
        """Name the file of a layer's tar-split."""
        return f"{self.root}/{OVERLAY}-layers/{_tar_split(layer)}"

    def open_tar_split(self, layer: str) -> int | None:
        """Open a layer's tar-split and return its descriptor; None where there is none."""
        return None if self._layers is None else self._layers.file(_tar_split(layer))

    def open_diff(self, layer: str) -> Handle | None:
        """Open the directory that a layer was unpacked into; None where it is not here.

        Raises UnsupportedImage where that does not hold the layer's files.
        """
        directory = None if self._overlay is None else self._overlay.directory(layer)
        if directory is None:
            return None
        with closing(directory):
            if directory.status(_ELSEWHERE) is not None:
                todo = "copy the image out of the store first, as with skopeo copy, and build from the copy"
                raise UnsupportedImage(directory.where, f"is kept in an additional layer store; {todo}")
            return directory.directory("diff")

    def is_composefs(self, layer: str) -> bool:
        """Say whether a layer's directory has its files under their digests, as a composefs wants them."""
        directory = None if self._overlay is None else self._overlay.directory(layer)
        if directory is None:
            return False
        with closing(directory):
            return directory.status(_COMPOSEFS) is not None

    def layer_data(self, layer: str, key: str, limit: int) -> bytes | None:
        """Read what is kept of a layer under a key, `limit` bytes at most; None where there is nothing."""
        directory = None if self._layers is None else self._layers.directory(layer)
        if directory is None:
            return None
        with closing(directory):
            return directory.read(data_name(key), limit)

    def layers_locked(self) -> AbstractContextManager[None]:
        """Lock the layers for reading, as long as the context lasts."""
        return nullcontext() if self._layers is None else locked(self._layers, LAYERS_LOCK, self._listen)

    def close(self) -> None:
        """Close the store."""
        self._opened.close()


def open_store(root: str, listen: Listener) -> Store | None:
    """Open the store at `root`; None when there is no such directory."""
    handle = Handle.open(root)
    return None if handle is None else Store(handle, listen)


def refuse_driver(root: str, driver: str) -> UnsupportedImage:
    """Say that a store's driver does not keep layers as overlay does."""
    reason = f"its driver is {driver}, and only overlay stores can be read; copy the image out of the store first"
    return UnsupportedImage(root, f"{reason}: skopeo copy containers-storage:[{driver}@{root}]NAME oci:DIR")


def _tar_split(layer: str) -> str:
    return f"{layer}.tar-split.gz"


def _refuse_others(root: Handle) -> None:
    for name in root.names():
        driver, suffix, rest = name.partition(b"-images")
        if suffix and not rest and driver.isalnum():
            raise refuse_driver(root.where, driver.decode())
