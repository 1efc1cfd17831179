"""podman's store: its lists of images and layers, and layers put together again."""

from __future__ import annotations

import gzip
import hashlib
import os
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

from support import images
from support.fuzz.archives import FIRST, merged
from support.fuzz.mutate import of_json, of_text
from support.fuzz.target import Target, refused
from support.stores import reference, tar_split, write_store

from builder.containers_storage.composefs import ByDigest
from builder.containers_storage.handles import Handle
from builder.containers_storage.records import ImageRecord, LayerRecord, Record, parse_records
from builder.containers_storage.tarsplit import read_pieces, tar_size
from builder.sources import open_source
from builder.sources.resolve import resolve

# The digest of no content.
EMPTY = hashlib.sha256().hexdigest()


def records(kind: type[Record], file: str) -> Callable[[bytes], None]:
    """Read the list of images or of layers, by itself and in a store."""

    def run(data: bytes) -> None:
        place = Path("store", file)
        if not place.exists():
            write_store(Path("store"), images.Spec((images.tar_bytes({"a": b"a"}),), tag="localhost/a:1"))
        place.write_bytes(data)
        with refused():
            parse_records(data, kind, "records")
        reference = f"containers-storage:[overlay@{Path.cwd()}/store]localhost/a:1"
        with closing(open_source(reference)) as source:
            resolve(source, reference, None)

    return run


def lists(file: str) -> Callable[[], list[bytes]]:
    def seeds() -> list[bytes]:
        write_store(Path("seeds"), images.Spec((images.tar_bytes({"a": b"a"}),), tag="localhost/a:1"))
        return [Path("seeds", file).read_bytes().replace(b"seeds", b"store")]

    return seeds


def pieces(data: bytes) -> None:
    """Read a tar-split, which is packed here so that its lines are what is changed."""
    with open("tar-split.gz", "w+b") as file:
        file.write(gzip.compress(data, 1))
        file.seek(0)
        tar_size(read_pieces(file, "tar-split"), "tar-split")


def stored(data: bytes) -> None:
    """Put a layer together again, as a tar-split says and as the marks on its files say, in a store of podman's."""
    image, place = images.Spec((FIRST,), tag="localhost/a:1"), Path("store")
    if not place.exists():
        write_store(place, image)
    (split,) = place.glob("overlay-layers/*.tar-split.gz")
    (files,) = place.glob("overlay/*/diff")
    split.write_bytes(gzip.compress(data, 1))
    with refused():
        merged(reference(place.absolute(), "localhost/a:1"))
    split.unlink()
    for name in ("f", "d"):
        # Not every file system has those.
        with suppress(OSError):
            os.setxattr(files / name, "user.containers.override_stat", data[:4096])
    try:
        merged(reference(place.absolute(), "localhost/a:1"))
    finally:
        split.touch()


def by_digest(data: bytes) -> None:
    """Find the files of a layer that podman keeps as a composefs, by its table of contents."""
    kept = Path(EMPTY[:2], EMPTY[2:])
    kept.parent.mkdir(exist_ok=True)
    kept.touch()
    root = Handle.open(".")
    assert root is not None
    with closing(root):
        os.close(ByDigest(root, data, "layer").open(b"f"))


TARGETS = {
    "images.json": Target(
        records(ImageRecord, "overlay-images/images.json"), lists("overlay-images/images.json"), of_json
    ),
    "layers.json": Target(
        records(LayerRecord, "overlay-layers/layers.json"), lists("overlay-layers/layers.json"), of_json
    ),
    "tar-split": Target(pieces, lambda: [tar_split(images.tar_bytes({"a": b"a", "b": b"b" * 600}))], of_text),
    "stored-layer": Target(
        stored, lambda: [tar_split(FIRST), b"7:8:0644", b"7:8:0755:dir", b"7:8:0600:block-8-1"], of_text
    ),
    "composefs-table": Target(
        by_digest,
        lambda: [images.dumps({"entries": [{"type": "reg", "name": "f", "digest": f"sha256:{EMPTY}"}]})],
        of_text,
    ),
}
