"""Stores for tests, in every kind of room, and small images that are put into them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.images import Spec, add_image, index_bytes, platform_object

from builder.image.descriptor import Descriptor
from builder.image.digest import Digest
from builder.image.media_types import OCI_INDEX, OCI_MANIFEST
from builder.image.name import ImageName
from builder.store.room import Room
from builder.store.rooms.directory import LocalRoom
from builder.store.store import Store


def _local(path: Path) -> Room:
    return LocalRoom(str(path / "store"))


def _temporary(path: Path) -> Room:
    from fs.tempfs import TempFS

    from builder.store.rooms.pyfilesystem import PyFilesystemRoom

    return PyFilesystemRoom(TempFS(temp_dir=str(path)), "images", f"temp://{path}")


def _memory(path: Path) -> Room:
    from fs.memoryfs import MemoryFS

    from builder.store.rooms.pyfilesystem import PyFilesystemRoom

    return PyFilesystemRoom(MemoryFS(), "images", f"mem://{path}")


def _below_memory(path: Path) -> Room:
    from fs.memoryfs import MemoryFS

    from builder.store.rooms.pyfilesystem import PyFilesystemRoom

    return PyFilesystemRoom(MemoryFS().makedirs("some/where"), "images", f"mem://{path}!some/where")


ROOMS: dict[str, Callable[[Path], Room]] = {
    "directory": _local,
    "TempFS": _temporary,
    "MemoryFS": _memory,
    "SubFS": _below_memory,
}


def describe(data: bytes, media_type: str = "", algorithm: str = "sha256") -> Descriptor:
    return Descriptor(media_type, Digest.of(data, algorithm), len(data))


@dataclass(frozen=True, slots=True)
class Parts:
    """An image as a store takes it in: blobs by their descriptors, and the document that a reference names."""

    blobs: dict[Digest, bytes]
    document: Descriptor
    data: bytes

    def descriptors(self) -> list[Descriptor]:
        return [Descriptor("", digest, len(data)) for digest, data in self.blobs.items()]


def image(*layers: bytes, platform: str = "linux/amd64") -> Parts:
    """An image of these layers, which are not looked into."""
    files: dict[str, object] = {}
    _, described = add_image(files, Spec(layers, platform=platform, compression="none"))  # type: ignore[arg-type]
    blobs = {Digest.of(data): data for data in files.values() if isinstance(data, bytes)}
    document = Digest.parse(str(described["digest"]))
    data = blobs.pop(document)
    return Parts(blobs, Descriptor(OCI_MANIFEST, document, len(data)), data)


def index(images: dict[str, Parts], left_out: tuple[str, ...] = ()) -> Parts:
    """An index of images by platform; of those left out nothing is there."""
    entries: list[dict[str, object]] = []
    blobs: dict[Digest, bytes] = {}
    for platform, parts in images.items():
        described = {"mediaType": OCI_MANIFEST, "digest": str(parts.document.digest), "size": len(parts.data)}
        entries.append({**described, "platform": platform_object(platform)})
        if platform not in left_out:
            blobs |= {**parts.blobs, parts.document.digest: parts.data}
    data = index_bytes(entries)
    return Parts(blobs, describe(data, OCI_INDEX), data)


def put(store: Store, name: str, parts: Parts) -> None:
    """Put an image into a store, as a pull does."""
    with store.lease() as lease:
        for digest, data in parts.blobs.items():
            store.put(Descriptor("", digest, len(data)), [data], lease)
        store.put_manifest(ImageName.parse(name), parts.document, parts.data, lease)


def contents(store: Store) -> dict[str, bytes]:
    """Every blob that has a name, by it."""
    found = {}
    for algorithm in store.room.names("blobs"):
        for hexadecimal in store.room.names(f"blobs/{algorithm}"):
            file = store.room.open(f"blobs/{algorithm}/{hexadecimal}")
            assert file is not None
            with file:
                found[f"{algorithm}:{hexadecimal}"] = file.read()
    return found


def litter(store: Store) -> list[str]:
    """Temporaries and leases."""
    return [f"{folder}/{name}" for folder in ("tmp", "leases") for name in store.room.names(folder)]


@contextmanager
def damaged(store: Store, digest: Digest, data: bytes) -> Iterator[None]:
    """Overwrite a blob of a store in a directory behind its back, and put it right afterwards."""
    path = Path(store.path(digest) or "")
    good = path.read_bytes()
    path.write_bytes(data)
    yield
    path.write_bytes(good)
