"""The image that tests of registries read, and how they read it."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from support.images import Spec, digest, layout_files
from support.tars import file, tar

from builder.events import Event, Notice
from builder.sources import open_source
from builder.sources.access import Access, Means
from builder.sources.resolve import resolve
from builder.sources.source import expect

_BYTES = random.Random(3).randbytes
# More than the read sizes and socket buffers on the way, and no two stretches alike.
_SIZES = (900_000, 3_000_000, 700, 500_000)
LAYERS = tuple(tar(file(f"file{number}", _BYTES(size))) for number, size in enumerate(_SIZES))
IMAGE = Spec(LAYERS, platform="linux/s390x")
_MADE = layout_files(IMAGE)[1][0]
# Digests.
MANIFEST = _MADE.manifest
BLOBS = list(_MADE.layers)
# Its repository in every registry.
NAME = "faults"
GET_BLOB = f"GET /v2/{NAME}/blobs/"


def read_image(reference: str, access: Access, means: Means | None = None) -> list[str]:
    """Read an image as a build does, and give its layers' digests by their content."""
    with closing(open_source(reference, access, means)) as source:
        layers = resolve(source, reference, None).layers
        expect(source, [layer.descriptor for layer in layers])
        found = []
        for layer in layers:
            with source.open(layer.descriptor) as blob:
                found.append(digest(blob.read()))
        return found


def listen_to(heard: list[str]) -> Callable[[Event], None]:
    """Make a listener that writes down what the user is told."""
    return lambda event: heard.append(event.text) if isinstance(event, Notice) else None


def files_in(place: Path) -> list[str]:
    """Name all files below a directory."""
    return sorted(str(path.relative_to(place)) for path in place.rglob("*") if path.is_file())
