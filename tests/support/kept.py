"""Layers that are kept: a small image, and builds of it with a cache."""

from __future__ import annotations

from pathlib import Path

from support.images import Spec, layout
from support.tars import directory, file, hardlink, sparse_pax, symlink, tar, whiteout

from builder import BuildOptions
from builder.decoded.cache import LayerCache
from builder.decoded.options import CacheOptions
from builder.decoded.place import open_layers
from builder.events import Event, Stage
from builder.guest.options import GuestOptions

# One of each: an owner, an attribute, a hole, a block of zeros amid content, links, an empty file.
LOWER = tar(
    directory("etc", mode=0o750, uid=1000),
    file("etc/app", b"a" * 5000 + bytes(9000) + b"b", mtime=-5),
    file("etc/empty"),
    file("etc/capable", b"c", xattrs={"user.note": b"kept", "security.capability": b"\1\0\0\2" + bytes(16)}),
    hardlink("etc/again", "etc/app"),
    symlink("etc/link", "app"),
    sparse_pax("etc/sparse", [(8192, b"d" * 10)], 40000, "1.0"),
)
UPPER = tar(whiteout("etc/empty"), file("etc/new", b"n" * 4097))


def with_cache(place: Path, **said: object) -> BuildOptions:
    """Options of a build that keeps layers at a place; the tree is the image's own."""
    return BuildOptions(cache=CacheOptions(place=place, **said), guest=GuestOptions(init="none"))  # type: ignore[arg-type]


def small_image(path: Path, *layers: bytes, **spec: object) -> str:
    """Write an image, of LOWER and UPPER if nothing else is said, and return its reference."""
    layout(path, Spec(layers or (LOWER, UPPER), **spec))  # type: ignore[arg-type]
    return f"oci:{path}"


def opened(place: Path) -> LayerCache:
    """The cache at a place, made if need be."""
    fd = open_layers(place, make=True)
    assert fd is not None
    return LayerCache(fd)


class Heard:
    """What a build says: which layers it read, and which it took from the cache."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    @property
    def layers(self) -> list[str]:
        """`read` or `taken` for each layer."""
        words = {"reading": "read", "taking": "taken"}
        verbs = (event.name.partition(" ")[0] for event in self.events if isinstance(event, Stage))
        return [words[verb] for verb in verbs if verb in words]

    @property
    def notices(self) -> list[str]:
        """What else is said."""
        return [event.text for event in self.events if not isinstance(event, Stage) and hasattr(event, "text")]
